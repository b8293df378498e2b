package site

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"

	"github.com/fsva/fsva/vfs/export"
)

// Machine is what QEMU makes a machine of, for appliance host run. Paths that
// are not absolute begin at the directory of the file.
type Machine struct {
	Kernel string   `yaml:"kernel" doc:"Linux image to boot. Without it, the disk is booted."`
	Initrd string   `yaml:"initrd" doc:"Initial file system of that kernel."`
	Append string   `yaml:"append" doc:"What the kernel's command line says besides the console and the address of the machine."`
	Disk   string   `yaml:"disk" doc:"Raw image or block device, as it is."`
	Memory uint32   `yaml:"memory" doc:"MiB of memory." default:"512"`
	CPUs   uint32   `yaml:"cpus" doc:"Processors." default:"1"`
	Accel  string   `yaml:"accel" doc:"kvm or tcg, which emulates. Without it: kvm if it can be had." enum:"kvm,tcg"`
	Args   []string `yaml:"args" doc:"Further arguments of QEMU, one for each item."`
}

// Bounds of a machine's memory in MiB, and of its processors.
const (
	minMemory, maxMemory = 64, 1 << 20
	maxCPUs              = 255
)

// Port9P is the TCP port of 9P, at which the devices of guests are relayed.
const Port9P = 564

// machine works out how somebody's machine is to be made; nil if nothing is
// said of it.
func (r *resolver) machine(key string, m Machine, external bool) *Machine {
	if reflect.ValueOf(m).IsZero() {
		return nil
	}
	key += ".machine"
	if external {
		r.add(key, "others make this machine; leave it out, or external")
	}
	if m.Kernel == "" && m.Disk == "" {
		r.add(key, "nothing to boot; give a kernel or a disk")
	}
	if m.Kernel == "" && (m.Initrd != "" || m.Append != "") {
		r.add(key, "initrd and append are for a kernel; give it, or leave them out")
	}
	if m.Memory == 0 {
		m.Memory = 512
	}
	if m.CPUs == 0 {
		m.CPUs = 1
	}
	if m.Memory < minMemory || m.Memory > maxMemory {
		r.add(key+".memory", "%d MiB are not between %d and %d", m.Memory, minMemory, maxMemory)
	}
	if m.CPUs > maxCPUs {
		r.add(key+".cpus", "%d are more than %d", m.CPUs, maxCPUs)
	}
	if !slices.Contains([]string{"", "kvm", "tcg"}, m.Accel) {
		r.add(key+".accel", "%q is neither kvm nor tcg", m.Accel)
	}
	for _, path := range []*string{&m.Kernel, &m.Initrd, &m.Disk} {
		*path = r.beside(*path)
	}
	return &m
}

// beside is a path that the file says, seen from anywhere.
func (r *resolver) beside(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	if dir, err := filepath.Abs(filepath.Dir(r.path)); err == nil {
		return filepath.Join(dir, path)
	}
	return path
}

// p9 checks the exports that a guest has as devices.
func (r *resolver) p9(key string, exports []string) []string {
	for i, name := range exports {
		at := fmt.Sprintf("%s.p9[%d]", key, i)
		if err := export.CheckName(name); err != nil {
			r.add(at, "%v", err)
		} else if slices.Contains(exports[:i], name) {
			r.add(at, "%s is there twice", name)
		}
	}
	if len(exports) > maxP9 {
		r.add(key+".p9", "%d are more than %d devices", len(exports), maxP9)
	}
	if len(exports) > 0 && !slices.Contains(r.Services, Port9P) {
		r.add(key+".p9", "the devices are relayed to TCP port %d of the appliance, which is not among services; add it", Port9P)
	}
	return exports
}

// maxP9 is how many 9P devices a guest can have.
const maxP9 = 8
