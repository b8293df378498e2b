// Package boot is the appliance as the first process of its machine: it turns
// a kernel that has just started into one that serves, with no other program
// than this one.
//
// [Run] mounts what the kernel has to tell (mount.go), reads the kernel's
// command line (cmdline.go), loads the drivers of the devices that are there
// (module.go), finds the data disk and the configuration (disk.go, setup.go),
// sets up the network (network.go, dhcp.go), and keeps appliance serve running
// as a child (supervise.go) until the machine is to be turned off (power.go).
// The first process must not end, or the kernel panics: what goes wrong is
// said on the console and at the health address, and nothing is served, until
// somebody has mended it.
//
// docs/images.md is the manual.
package boot

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Main is the main function of a first process, and of the programs that the
// kernel runs by path. It does not return if name, the program's name as it
// was called, is one of them. Otherwise it returns the arguments to go on with.
func Main(name string, args []string) []string {
	switch filepath.Base(name) {
	case "init":
		if os.Getpid() == 1 {
			Run()
		}
	case "poweroff": // as orderly_poweroff of the kernel calls it, for Xen
		os.Exit(signalInit(unix.SIGTERM))
	case "reboot":
		os.Exit(signalInit(unix.SIGINT))
	case "modprobe": // as request_module of the kernel calls it
		os.Exit(modprobe(args))
	case awaiting:
		return await()
	}
	return args
}

// signalInit sends the first process a signal.
func signalInit(sig unix.Signal) (code int) {
	if err := unix.Kill(1, sig); err != nil {
		say("the first process takes no signal: %v", err)
		return 1
	}
	return 0
}

// Run is the life of the machine. It ends with it.
func Run() {
	power := notifyPower()
	problems := mountKernel()
	p, err := readParams()
	problems = append(problems, err...)
	prepare(p)
	kids := newChildren()
	early, earlyErr := startEarly(kids)
	if earlyErr != nil { // then one is started in time
		say("%v", earlyErr)
	}
	mods, kmodErr := openModules()
	if kmodErr != nil {
		problems = append(problems, kmodErr)
	} else {
		mods.loadAll()
	}
	go watchButtons(power)
	net, err := setUpNetwork(p)
	problems = append(problems, err...)
	s, err := setUp(p, mods, kids)
	problems = append(problems, err...)
	setClock()
	net.await()

	sup := &supervisor{kids: kids, setup: s, net: net, problems: problems, early: early}
	action := sup.run(power)
	net.close()
	shutDown(action)
}

// prepare sets what the kernel has other defaults for than an appliance needs.
func prepare(p *params) {
	_ = unix.Sethostname([]byte(p.hostname)) // a name is a courtesy
	// Ctrl-Alt-Del becomes a signal to this process (reboot(2)).
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF)
	// The hard limit is 4096, and exports keep files open (getrlimit(2)).
	_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1 << 20, Max: 1 << 20})
	// A kernel that has panicked starts again, unless panic= says otherwise.
	if b, err := os.ReadFile(panicFile); err == nil && string(b) == "0\n" {
		_ = os.WriteFile(panicFile, []byte("10\n"), 0o644)
	}
	_ = os.Setenv("PATH", "/sbin:/bin")
}

const panicFile = "/proc/sys/kernel/panic"

// say prints a line on the console.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "fsva: "+format+"\n", args...)
}
