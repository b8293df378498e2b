// Package virtio is the virtio 9P device as a vhost-user back end: a virtual
// machine's
//
//	mount -t 9p -o trans=virtio TAG /mnt
//
// is answered by this process, and the virtual machine monitor does not see the
// requests. It shares the guest's memory with us instead, and tells over a Unix
// socket where the rings are (QEMU's docs/interop/vhost-user.rst; the device is
// that of virtio 1.2, 2.7 and the 9P transport device, ID 9).
//
// A [Device] has one tag and one socket. Each front end that connects gets a
// session, which reads its messages and sets up the queue. While the guest's
// driver runs, a goroutine takes chains of descriptors from the ring and has
// them answered by a [Channel]; when more wait, or one takes long, others do so
// at the same time. They work on the guest's memory itself: nothing is copied on
// the way.
//
// The guest is hostile, and so may the front end be. What is read from a ring
// or a message is read once and checked before use. Rubbish in the ring, a
// panic in a request and memory that goes away end the run of this device, with
// one line in the log; it starts again when the guest resets it. Rubbish in the
// messages ends the session. Other devices notice nothing.
//
// QEMU has the front end since version 10.2:
//
//	-object memory-backend-memfd,id=m,size=1G,share=on -machine q35,memory-backend=m \
//	-chardev socket,id=c,path=SOCKET \
//	-device vhost-user-test-device-pci,chardev=c,virtio-id=9,num_vqs=1,vq_size=128,config_size=256
//
// The device must be served when QEMU starts, and as long as it runs: QEMU does
// not take up another connection.
package virtio

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/fsva/fsva/server/p9/transport"
)

// Channel is the 9P server's end of one guest's mount. The memory of its
// requests is the guest's own.
type Channel = transport.Channel

// Config describes a device.
type Config struct {
	Tag    string // what the guest mounts; 1 to 254 bytes
	Socket string // path of the Unix socket

	// Dial is for a front end that listens: Serve connects to it, and tries
	// until it does. Otherwise New makes the socket, with the permissions Mode,
	// by default 0600. Who can connect can do what the guest can.
	Dial bool
	Mode fs.FileMode

	NewChannel  func() Channel
	MaxInFlight int // requests that are answered at the same time; default 64
	Log         zerolog.Logger
}

// maxTag is what the configuration space has room for.
const maxTag = configSize - 2

func (c *Config) check() error {
	switch {
	case c.Tag == "" || len(c.Tag) > maxTag || strings.ContainsRune(c.Tag, 0):
		return fmt.Errorf("tag %q: must have 1 to %d bytes and no NUL", c.Tag, maxTag)
	case c.Socket == "":
		return errors.New("no socket")
	case c.NewChannel == nil:
		return errors.New("no channel")
	case c.MaxInFlight < 0:
		return fmt.Errorf("%d requests in flight", c.MaxInFlight)
	}
	c.Mode = cmp.Or(c.Mode, 0o600)
	c.MaxInFlight = cmp.Or(c.MaxInFlight, 64)
	return nil
}

// logBurst is how many lines a device logs in a minute.
const logBurst = 10

// Device is one virtio 9P device.
type Device struct {
	config   Config
	listener *net.UnixListener // nil when we dial
}

// New makes a device and, unless it dials, its socket: a front end can connect
// from now on. One of Serve and Close follows.
func New(c Config) (*Device, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("virtio 9P device: %w", err)
	}
	// A guest can break its device again and again. Nobody wants to read that.
	c.Log = c.Log.With().Str("tag", c.Tag).Str("socket", c.Socket).Logger().
		Sample(&zerolog.BurstSampler{Burst: logBurst, Period: time.Minute})
	d := &Device{config: c}
	if c.Dial {
		return d, nil
	}
	l, err := listen(c.Socket, c.Mode)
	if err != nil {
		return nil, fmt.Errorf("virtio 9P device %s: %w", c.Tag, err)
	}
	d.listener = l
	return d, nil
}

// Close removes the socket of a device that is not served.
func (d *Device) Close() error {
	if d.listener == nil {
		return nil
	}
	return d.listener.Close()
}

// Serve serves one front end after the other until ctx ends, and then returns
// nil, when all requests have ended. Of a device that dials it also returns
// with the error of a session: QEMU aborts when a second connection takes the
// place of a broken one.
func (d *Device) Serve(ctx context.Context) error {
	if d.config.Dial {
		return d.serveDialing(ctx)
	}
	return d.serveListening(ctx)
}

// patience is how long a second front end waits for the first to leave. It
// waits at all because a monitor that was restarted may connect before its
// predecessor's last requests have ended.
const patience = 2 * time.Second

func (d *Device) serveListening(ctx context.Context) error {
	var sessions sync.WaitGroup
	defer sessions.Wait()
	defer context.AfterFunc(ctx, func() { d.listener.Close() })()
	defer d.listener.Close()
	free := make(chan struct{}, 1)
	free <- struct{}{}
	for {
		conn, err := d.listener.AcceptUnix()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("virtio 9P device %s: %w", d.config.Tag, err)
		case err != nil:
			// Out of descriptors, or the front end is gone already.
			d.config.Log.Warn().Err(err).Msg("cannot accept a virtio front end")
			pause(ctx, retry)
			continue
		}
		select {
		case <-free:
			sessions.Go(func() {
				defer func() { free <- struct{}{} }()
				if err := d.serveConn(ctx, conn); err != nil {
					d.config.Log.Warn().Err(err).Msg("virtio front end is disconnected")
				}
			})
		case <-time.After(patience):
			d.config.Log.Warn().Msg("virtio front end is refused: another one is connected")
			conn.Close()
		case <-ctx.Done():
			conn.Close()
		}
	}
}

func (d *Device) serveDialing(ctx context.Context) error {
	for ctx.Err() == nil {
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "unix", d.config.Socket)
		if err == nil {
			err = d.serveConn(ctx, conn.(*net.UnixConn))
			if err != nil && ctx.Err() == nil {
				return fmt.Errorf("virtio 9P device %s: %w", d.config.Tag, err)
			}
		}
		pause(ctx, retry)
	}
	return nil
}

// retry is how long it takes to try again what has failed.
const retry = 200 * time.Millisecond

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// serveConn serves a front end until it leaves, which is no error.
func (d *Device) serveConn(ctx context.Context, conn *net.UnixConn) error {
	defer conn.Close()
	// What is read or written on a closed connection fails.
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	err := newSession(&d.config, conn).serve()
	switch {
	case ctx.Err() != nil, errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return nil
	}
	return err
}

// listen makes the socket. What an earlier process left there is replaced; a
// socket that somebody listens at is not.
func listen(path string, mode fs.FileMode) (*net.UnixListener, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		// bind(2) gives the file the mode that the socket has. A chmod of the
		// file would come too late.
		if e := c.Control(func(fd uintptr) { err = syscall.Fchmod(int(fd), uint32(mode.Perm())) }); e != nil {
			return e
		}
		return err
	}}
	l, err := lc.Listen(context.Background(), "unix", path)
	if errors.Is(err, syscall.EADDRINUSE) && abandoned(path) {
		if err := syscall.Unlink(path); err != nil {
			return nil, fmt.Errorf("remove the old socket %s: %w", path, err)
		}
		l, err = lc.Listen(context.Background(), "unix", path)
	}
	if err != nil {
		return nil, err
	}
	return l.(*net.UnixListener), nil
}

// abandoned says if path is a socket that nobody listens at. For files of other
// kinds connect(2) fails with ECONNREFUSED too.
func abandoned(path string) bool {
	var st syscall.Stat_t
	if syscall.Lstat(path, &st) != nil || st.Mode&syscall.S_IFMT != syscall.S_IFSOCK {
		return false
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}
