package boot

import (
	"encoding/binary"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// action is what is to become of the machine.
type action int

const (
	none action = iota
	reload
	powerOff
	restart
)

// request is an action with who asked for it.
type request struct {
	action action
	why    string
}

// notifyPower turns the signals that a first process gets into requests.
// Ctrl-Alt-Del is SIGINT (reboot(2)); the other two are for the programs that
// the kernel calls (Main).
func notifyPower() chan request {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	power := make(chan request, 8)
	go func() { // for the length of the machine's life
		for s := range signals {
			switch s {
			case unix.SIGTERM:
				power <- request{powerOff, "SIGTERM"}
			case unix.SIGINT:
				power <- request{restart, "Ctrl-Alt-Del"}
			case unix.SIGHUP:
				power <- request{reload, "SIGHUP"}
			}
		}
	}()
	return power
}

// inputEvent is struct input_event (Linux, include/uapi/linux/input.h).
type inputEvent struct {
	Seconds, Microseconds uint64
	Type, Code            uint16
	Value                 int32
}

const (
	evKey    = 1   // EV_KEY
	keyPower = 116 // KEY_POWER
)

// watchButtons has every power button turn the machine off.
func watchButtons(power chan<- request) {
	names, _ := filepath.Glob("/sys/class/input/event*/device/name") // the pattern is correct
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil || strings.TrimSpace(string(b)) != "Power Button" {
			continue
		}
		device := filepath.Base(filepath.Dir(filepath.Dir(name)))
		f, err := os.Open("/dev/input/" + device)
		if err != nil {
			say("the power button does nothing: %v", err)
			continue
		}
		go watchButton(f, power)
	}
}

func watchButton(f *os.File, power chan<- request) {
	defer f.Close()
	for {
		var e inputEvent
		if err := binary.Read(f, binary.NativeEndian, &e); err != nil {
			return // the device is gone
		}
		if e.Type == evKey && e.Code == keyPower && e.Value == 1 {
			power <- request{powerOff, "power button"}
		}
	}
}

// shutDown ends the machine. What is mounted is written and unmounted.
func shutDown(a action) {
	unix.Sync()
	if err := unix.Unmount(dataDir, 0); err != nil && exists(dataDir) {
		// Something has files open; they do not change any more.
		_ = unix.Mount("", dataDir, "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
		unix.Sync()
	}
	command, word := unix.LINUX_REBOOT_CMD_POWER_OFF, "goes off"
	if a == restart {
		command, word = unix.LINUX_REBOOT_CMD_RESTART, "restarts"
	}
	say("the machine %s", word)
	if err := unix.Reboot(command); err != nil {
		say("it does not: %v", err)
	}
	select {} // a machine without a switch
}
