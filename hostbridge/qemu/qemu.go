// Package qemu runs a machine of a host under QEMU: it has the arguments, keeps
// the process running, and stops it in order.
//
//	qemu.go     what a machine is made of, and QEMU's arguments for it
//	find.go     which QEMU there is, and what it can
//	monitor.go  what QEMU is told while it runs, by its machine protocol (QMP)
//	console.go  the log of what the console says
//	run.go      the life of the process
//
// Who calls brings what the machine needs: its tap, its sockets, and whoever
// serves its 9P devices.
package qemu

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

// Machine is what a machine is made of.
type Machine struct {
	Name                   string
	Binary                 string // QEMU
	Kernel, Initrd, Append string // Kernel is empty if the disk is booted
	Disk                   string // raw, or empty
	Memory, CPUs           uint32 // MiB, and how many
	Accel                  string // kvm, tcg, or empty for the first that there is
	Tap                    string
	MAC                    net.HardwareAddr
	P9                     []P9
	QMP, Console, Log      string   // paths: monitor, console, and the end of what the console said
	Args                   []string // further arguments of QEMU
}

// P9 is a 9P device that a vhost-user back end serves.
type P9 struct {
	Model  string // of the device, by FindP9
	Socket string // of the back end, which is there when QEMU starts
}

// Arguments are those of QEMU, without its own name.
func (m *Machine) Arguments() []string {
	args := []string{"-name", "guest=" + quote(m.Name) + ",process=fsva-" + quote(m.Name),
		"-nodefaults", "-no-user-config", "-display", "none",
		// QEMU starts nothing and changes no privileges.
		"-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"}
	args = append(args, m.accel()...)
	args = append(args, "-cpu", "max", "-smp", strconv.Itoa(int(m.CPUs)), "-m", fmt.Sprintf("%dM", m.Memory), "-machine", "q35"+m.sharing())
	if len(m.P9) > 0 {
		args = append(args, "-object", memory(m.Memory))
	}
	if m.Kernel != "" {
		args = append(args, "-kernel", m.Kernel, "-append", m.Append)
	}
	if m.Initrd != "" {
		args = append(args, "-initrd", m.Initrd)
	}
	if m.Disk != "" {
		args = append(args, "-drive", "if=none,id=disk,format=raw,file="+quote(m.Disk), "-device", "virtio-blk-pci,drive=disk")
	}
	args = append(args, NetworkArguments(m.Tap, m.MAC)...)
	for i, p := range m.P9 {
		args = append(args, p.Arguments(i)...)
	}
	args = append(args, "-device", "virtio-balloon-pci", "-device", "virtio-rng-pci",
		"-chardev", "socket,id=console,server=on,wait=off,path="+quote(m.Console)+",logfile="+stdout+",logappend=on", "-serial", "chardev:console",
		"-qmp", "unix:"+quote(m.QMP)+",server=on,wait=off")
	return append(args, m.Args...)
}

// stdout is the pipe to the consoleLog. Not everyone's /dev has the link to it.
const stdout = "/proc/self/fd/1"

// NetworkArguments give a machine the tap of the bridge.
func NetworkArguments(tap string, mac net.HardwareAddr) []string {
	return []string{"-netdev", "tap,id=fsva,script=no,downscript=no,ifname=" + quote(tap), "-device", "virtio-net-pci,netdev=fsva,romfile=,mac=" + mac.String()}
}

// Arguments give a machine one more 9P device. Its memory must be shared, as
// SharingArguments have it.
func (p *P9) Arguments(n int) []string {
	return []string{"-chardev", fmt.Sprintf("socket,id=p9-%d,path=%s", n, quote(p.Socket)),
		"-device", fmt.Sprintf("%s,chardev=p9-%d,virtio-id=9,num_vqs=1,vq_size=128,config_size=256", p.Model, n)}
}

// SharingArguments have back ends reach all memory of a machine, whose size is
// to be that of its -m, in MiB.
func SharingArguments(mib uint32) []string {
	return []string{"-object", memory(mib), "-machine", "memory-backend=fsva"}
}

func memory(mib uint32) string {
	return fmt.Sprintf("memory-backend-memfd,id=fsva,share=on,size=%dM", mib)
}

func (m *Machine) sharing() string {
	if len(m.P9) == 0 {
		return ""
	}
	return ",memory-backend=fsva"
}

// Emulated says that QEMU emulates the machine: it is told to, or has no KVM.
func (m *Machine) Emulated() bool {
	if m.Accel != "" {
		return m.Accel == "tcg"
	}
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err == nil {
		f.Close()
	}
	return err != nil
}

// accel are alternatives to QEMU, of which it takes the first that works.
func (m *Machine) accel() (args []string) {
	if m.Accel != "tcg" {
		args = append(args, "-accel", "kvm")
	}
	if m.Accel != "kvm" {
		args = append(args, "-accel", "tcg,thread=multi")
	}
	return args
}

// quote makes a value of one of QEMU's options: a comma would end it (qemu(1)).
func quote(value string) string { return strings.ReplaceAll(value, ",", ",,") }
