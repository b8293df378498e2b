package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"

	"github.com/mdlayher/vsock"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/cmd/appliance/config"
	"github.com/fsva/fsva/server/p9"
	"github.com/fsva/fsva/server/p9/virtio"
)

// p9Door is one address of 9P: a listener, or a device.
type p9Door struct {
	config.P9
	listener net.Listener
	device   p9Device
}

// p9Device is served without a listener of ours.
type p9Device interface {
	Serve(ctx context.Context) error
	Close() error
}

// listenP9 opens the addresses of 9P.
func (a *appliance) listenP9() error {
	for _, text := range a.cfg.P9 {
		at, err := config.ParseP9(text)
		if err != nil {
			return err
		}
		d := p9Door{P9: at}
		switch at.Transport {
		case "virtio":
			err = a.openDevice(&d)
		case "xen":
			err = a.openXen(&d)
		default:
			d.listener, err = listenStream(&at)
		}
		if err != nil {
			return err
		}
		if d.listener != nil {
			a.onStop(closing(d.listener))
		}
		a.doors = append(a.doors, d)
	}
	return nil
}

func listenStream(at *config.P9) (net.Listener, error) {
	switch at.Transport {
	case "tcp":
		return listen("p9", at.Address)
	case "unix":
		return listenUnix(at.Address)
	}
	l, err := vsock.ListenContextID(unix.VMADDR_CID_ANY, at.Port, nil)
	if err != nil {
		return nil, fmt.Errorf("vsock port %d: %w; is the module vhost_vsock or vmw_vsock_virtio_transport loaded?", at.Port, err)
	}
	return l, nil
}

// listenUnix makes a socket that only this user may connect to. One that an
// earlier process left behind is replaced.
func listenUnix(path string) (net.Listener, error) {
	// bind(2) gives the file the mode that the socket has. A chmod of the file
	// would come too late.
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if e := c.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) }); e != nil {
			return e
		}
		return err
	}}
	l, err := lc.Listen(context.Background(), "unix", path)
	if errors.Is(err, syscall.EADDRINUSE) && abandoned(path) {
		if err := unix.Unlink(path); err != nil {
			return nil, fmt.Errorf("socket %s: remove the old one: %w", path, err)
		}
		l, err = lc.Listen(context.Background(), "unix", path)
	}
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	return l, nil
}

// abandoned says if path is a socket that nobody listens at. For files of other
// kinds connect(2) fails with ECONNREFUSED too.
func abandoned(path string) bool {
	var st unix.Stat_t
	if unix.Lstat(path, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return false
	}
	c, err := net.Dial("unix", path)
	if err == nil {
		c.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// openDevice makes the socket of a virtio device. Where the export is not
// named, there has to be only one.
func (a *appliance) openDevice(d *p9Door) error {
	if d.Export == "" {
		if len(a.cfg.Exports) != 1 {
			return fmt.Errorf("p9 address virtio://%s: there are several exports; name one with ?export=NAME", d.Address)
		}
		spec, err := a.cfg.Exports[0].Spec()
		if err != nil {
			return err
		}
		d.Export = spec.Name
	}
	d.Tag = cmp.Or(d.Tag, d.Export)
	device, err := virtio.New(virtio.Config{
		Tag: d.Tag, Socket: d.Address, Dial: d.Connect, Log: a.log,
		NewChannel: func() virtio.Channel { return a.deviceChannel(d) },
	})
	if err != nil {
		return err
	}
	d.device = device
	a.onStop(func() error {
		if err := device.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	return nil
}

// deviceChannel is the channel of a virtio device, from the address of its guest
// if it says whose it is: what an export's clients= says of the guest holds for
// its devices, too. The site is read each time that the device is started, so
// that a guest which has gone from it is not taken for another.
func (a *appliance) deviceChannel(d *p9Door) *p9.Channel {
	opt := p9.ChannelOptions{Export: d.Export}
	if d.Guest != "" {
		var err error
		if opt.Addr, err = a.cfg.GuestAddr(d.Guest); err != nil {
			a.log.Warn().Err(err).Str("device", d.Tag).Msg("the device has no address: exports with clients= refuse it")
		}
	}
	return a.p9.NewChannel("virtio "+cmp.Or(d.Guest, d.Tag), opt)
}

// serveP9 answers on all addresses of 9P.
func (a *appliance) serveP9(context.Context) error {
	a.p9Ops = p9.NewStats()
	a.p9 = p9.New(p9.Config{
		Exports: a.exports.table, Locks: a.locks, Log: a.log, Stats: a.p9Ops, InGrace: a.nfs.Clients().InGrace,
	})
	ctx, cancel := context.WithCancel(context.Background())
	a.run("9P", func() error {
		g, ctx := errgroup.WithContext(ctx)
		for _, d := range a.doors {
			if d.device != nil {
				g.Go(func() error { return d.device.Serve(ctx) })
			} else {
				g.Go(func() error { return a.p9.Serve(ctx, d.listener) })
			}
		}
		return g.Wait()
	}, func(limit context.Context) error {
		cancel()
		return a.p9.Shutdown(limit)
	})
	return nil
}

// announceP9 prints how to mount each export over 9P.
func (a *appliance) announceP9(w io.Writer) error {
	for _, d := range a.doors {
		if d.device != nil {
			if _, err := fmt.Fprintln(w, d.mountCommand("")); err != nil {
				return err
			}
			continue
		}
		for _, e := range a.exports.table.List() {
			if _, err := fmt.Fprintln(w, d.mountCommand(e.Name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// mountCommand mounts an export in a guest. The messages are as large as the
// transports of Linux can have them, and with Xen as the appliance has them.
func (d *p9Door) mountCommand(export string) string {
	const options = "mount -t 9p -o version=9p2000.L,"
	switch d.Transport {
	case "virtio":
		return fmt.Sprintf(options+"trans=virtio,msize=512000 %s /mnt", d.Tag)
	case "xen":
		return options + "trans=xen,msize=65536 TAG /mnt"
	case "unix":
		return fmt.Sprintf(options+"trans=unix,msize=1048576,aname=%s %s /mnt", export, d.Address)
	case "vsock":
		return fmt.Sprintf(options+"trans=fd,rfdno=FD,wfdno=FD,msize=1048576,aname=%s vsock:%d /mnt", export, d.Port)
	}
	host, port := "ADDRESS", uint16(0)
	if at, err := netip.ParseAddrPort(d.listener.Addr().String()); err == nil {
		port = at.Port()
		if !at.Addr().IsUnspecified() {
			host = at.Addr().Unmap().String()
		}
	}
	return fmt.Sprintf(options+"trans=tcp,port=%d,msize=1048576,aname=%s %s /mnt", port, export, host)
}

// readyP9 is what the line that says "ready" has about 9P.
func (a *appliance) readyP9() (text string) {
	for _, d := range a.doors {
		at := d.Address
		switch d.Transport {
		case "tcp":
			at = d.listener.Addr().String()
		case "xen":
			text += " p9=xen:"
			continue
		}
		text += fmt.Sprintf(" p9=%s://%s", d.Transport, at)
	}
	return text
}

// private reports whether only users of this machine reach the exports.
func private(cfg *config.Config) bool {
	for _, text := range cfg.P9 {
		at, err := config.ParseP9(text)
		if err != nil || at.Transport != "unix" && (at.Transport != "tcp" || !loopback(at.Address)) {
			return false
		}
	}
	return loopback(cfg.NFS)
}
