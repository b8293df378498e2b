package cli

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/cmd/appliance/boot"
	"github.com/fsva/fsva/hostbridge/link"
	"github.com/fsva/fsva/hostbridge/qemu"
	"github.com/fsva/fsva/hostbridge/site"
	"github.com/fsva/fsva/server/p9/virtio"
)

// hostMachine is a machine of a site, before it runs.
type hostMachine struct {
	machine  qemu.Machine
	exports  []string // that it has as 9P devices
	dataDisk bool     // its disk is the data disk of an appliance
}

// applianceMachine is that of the appliance.
func applianceMachine(s *site.Site) (*hostMachine, error) {
	switch {
	case s.ApplianceOnHost():
		return nil, fmt.Errorf("%s: the appliance is a process of this host: start it with appliance serve, or say run: machine", s.Path)
	case s.Appliance.Machine == nil:
		return nil, fmt.Errorf("%s: appliance: nothing is said of the machine; give it a kernel, see docs/kvm.md", s.Path)
	}
	h := newHostMachine(s, &s.Appliance, fsvaAddress(s))
	h.dataDisk = h.machine.Disk != ""
	return h, nil
}

// guestMachine is that of a guest.
func guestMachine(s *site.Site, name string) (*hostMachine, error) {
	g, err := findGuest(s, name)
	switch {
	case err != nil:
		return nil, err
	case g.External:
		return nil, fmt.Errorf("%s: guest %s is external: its own toolstack starts it", s.Path, name)
	case g.Machine == nil:
		return nil, fmt.Errorf("%s: guest %s: nothing is said of its machine; give it a kernel or a disk, or see appliance host attach", s.Path, name)
	}
	return newHostMachine(s, &g, kernelAddress(s, &g)), nil
}

// findGuest finds a guest or says who there is.
func findGuest(s *site.Site, name string) (site.Port, error) {
	g, ok := s.Guest(name)
	if ok {
		return g, nil
	}
	names := []string{"none"}
	if len(s.Guests) > 0 {
		names = names[:0]
		for _, g := range s.Guests[:min(len(s.Guests), 20)] {
			names = append(names, g.Name)
		}
	}
	return g, fmt.Errorf("%s: there is no guest %q; there are: %s", s.Path, name, strings.Join(names, ", "))
}

// clockOption spares a kernel to find out how fast its clock is. One that is
// emulated, on a host that has other things to do, may fail at that. Any value
// will do.
const clockOption = "tsc_early_khz=2000000"

// newHostMachine makes the machine of somebody, with that address on the
// kernel's command line. What the file appends comes later and so wins.
func newHostMachine(s *site.Site, p *site.Port, address string) *hostMachine {
	base := filepath.Join(machineDir(s.Bridge), p.Name)
	m := p.Machine
	h := &hostMachine{exports: p.P9, machine: qemu.Machine{
		Name: p.Name, Binary: s.QEMU, Kernel: m.Kernel, Initrd: m.Initrd, Disk: m.Disk,
		Memory: m.Memory, CPUs: m.CPUs, Accel: m.Accel, Args: m.Args, Tap: p.Device, MAC: p.MAC,
		QMP: base + ".qmp", Console: base + ".console", Log: base + ".log",
	}}
	options := []string{"console=ttyS0 panic=10 quiet"}
	if h.machine.Emulated() {
		options = append(options, clockOption)
	}
	h.machine.Append = strings.TrimSpace(strings.Join(append(options, address, m.Append), " "))
	for i := range p.P9 {
		h.machine.P9 = append(h.machine.P9, qemu.P9{Socket: p9Socket(s, p, i)})
	}
	return h
}

// p9Socket is where the back end of a guest's device listens. Its number and
// not its export is in it, so that it fits into a socket's address.
func p9Socket(s *site.Site, p *site.Port, n int) string {
	return filepath.Join(machineDir(s.Bridge), fmt.Sprintf("%s.p9-%d", p.Name, n))
}

// fsvaAddress tells a microVM its addresses.
func fsvaAddress(s *site.Site) string {
	list := netip.PrefixFrom(s.Appliance.IP4, s.Subnet.Bits()).String()
	if s.IPv6() {
		list += "," + netip.PrefixFrom(s.Appliance.IP6, 64).String()
	}
	return "fsva.ip=" + list
}

// kernelAddress tells a guest its IPv4 address in the kernel's form, which
// initramfs-tools and dracut know, too (Linux, admin-guide/nfs/nfsroot.rst).
func kernelAddress(s *site.Site, g *site.Port) string {
	mask := netip.AddrFrom4([4]byte(maskOf(s.Subnet.Bits())))
	return fmt.Sprintf("ip=%v:::%v:%s::off", g.IP4, mask, g.Name)
}

func maskOf(bits int) []byte {
	mask := ^uint32(0) << (32 - bits)
	return []byte{byte(mask >> 24), byte(mask >> 16), byte(mask >> 8), byte(mask)}
}

// check refuses what cannot work, before anything is changed.
func (h *hostMachine) check(ctx context.Context, s *site.Site) (err error) {
	m := &h.machine
	for _, f := range []struct{ what, path string }{{"kernel", m.Kernel}, {"initrd", m.Initrd}, {"disk", m.Disk}} {
		if f.path == "" {
			continue
		}
		if _, err := os.Stat(f.path); err != nil {
			return fmt.Errorf("%s: machine %s: %s: %w", s.Path, m.Name, f.what, err)
		}
	}
	if h.dataDisk {
		if err := boot.CheckDataDisk(m.Disk, m.Append); err != nil {
			return fmt.Errorf("%s: machine %s: disk: %w", s.Path, m.Name, err)
		}
	}
	if m.Binary, err = qemu.Find(m.Binary); err != nil {
		return err
	}
	if len(m.P9) > 0 {
		model, err := qemu.FindP9(ctx, m.Binary)
		if err != nil {
			return fmt.Errorf("machine %s: %w", m.Name, err)
		}
		for i := range m.P9 {
			m.P9[i].Model = model
		}
	}
	return checkTap(s, m.Tap)
}

// checkTap says why a machine cannot have a tap.
func checkTap(s *site.Site, tap string) error {
	_, states, err := link.States(s)
	if err != nil {
		return err
	}
	for i, p := range s.Ports() {
		switch {
		case p.Device != tap:
		case states[i] == link.InUse:
			return fmt.Errorf("%s is in use by a machine that runs", tap)
		case states[i] != link.Idle:
			return fmt.Errorf("%s is %s; run appliance host up --config %s first", tap, states[i], s.Path)
		}
	}
	return nil
}

// lock makes the directory of the sockets and keeps other processes from
// running the same machine until it is closed.
func (h *hostMachine) lock() (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(h.machine.QMP), 0o700); err != nil {
		return nil, err
	}
	f, err := lockFile(strings.TrimSuffix(h.machine.QMP, ".qmp") + ".lock")
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fmt.Errorf("another appliance host run has machine %s; stop that one first", h.machine.Name)
	}
	return f, err
}

// lockFile makes a file and locks it until it is closed. The error is EWOULDBLOCK
// if another process has it.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

// serve serves the 9P devices, by relays to the appliance, until the function
// that it returns is called.
func (h *hostMachine) serve(s *site.Site, log zerolog.Logger) (stop func() error, err error) {
	at := serverAddress{transport: "tcp", address: p9Address(s)}
	var devices []*virtio.Device
	for i, name := range h.exports {
		r := relay{socket: h.machine.P9[i].Socket, tag: name, export: name}
		d, err := r.device(at, log)
		if err != nil {
			for _, d := range devices {
				d.Close()
			}
			return nil, fmt.Errorf("9P device %s: %w", name, err)
		}
		devices = append(devices, d)
	}
	ctx, cancel := context.WithCancel(context.Background()) // they serve until QEMU has ended
	var running sync.WaitGroup
	errs := make([]error, len(devices))
	for i, d := range devices {
		running.Go(func() { errs[i] = d.Serve(ctx) })
	}
	return func() error {
		cancel()
		running.Wait()
		return errors.Join(errs...)
	}, nil
}

// p9Address is where the appliance serves 9P.
func p9Address(s *site.Site) string {
	return netip.AddrPortFrom(s.Appliance.IP4, site.Port9P).String()
}

// twoSignals ends ctx with the first signal and closes hurry with the second.
func twoSignals(parent context.Context, signals <-chan os.Signal) (ctx context.Context, hurry <-chan struct{}, ended func()) {
	ctx, cancel := context.WithCancel(parent)
	second, done, over := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		for _, act := range []func(){cancel, func() { close(second) }} {
			select {
			case <-signals:
				act()
			case <-done:
				return
			}
		}
	}()
	return ctx, second, func() { close(done); cancel(); <-over }
}
