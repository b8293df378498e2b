// Package xen is the back end of Xen's 9P devices: a domain's
//
//	mount -t 9p -o trans=xen,version=9p2000.L TAG /mnt
//
// is answered by this process, which runs in another domain. What is read and
// written goes through memory that the one domain grants to the other; domain 0
// introduces them to each other, and does not see the requests (Xen's
// docs/misc/9pfs.pandoc, xen/include/public/io/9pfs.h).
//
// A [Backend] watches xenstore for devices of which its domain is the back end.
// Each gets a goroutine that follows the state of its front end and connects the
// rings. Of a ring, goroutines take requests in turn, have them answered by a
// [Channel], and put the replies back. What the package needs of the hypervisor
// is the interface hypervisor, so that tests do without one.
//
// The other domain is hostile. What is read from a ring or from xenstore is read
// once and checked before use; messages are copied from the ring before they are
// looked at. Rubbish in a ring, a panic in a request and memory that goes away
// end the session of this device, with one line in the log; it works again when
// the domain resets it. Other devices notice nothing.
//
// The process needs the devices in /dev/xen, of the modules xen-evtchn and
// xen-gntdev. A domain is given a device by its configuration file:
//
//	p9=["tag=data,path=/data,security_model=none,backend=NAME-OF-OUR-DOMAIN"]
package xen

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/fsva/fsva/server/p9/transport"
)

// Channel is the 9P server's end of one front end's mounts, while it is
// connected. The memory of its requests is that of this process. After the end
// of the context, answers are dropped.
type Channel = transport.Channel

// Device says what a domain's device is to be.
type Device struct {
	Domain uint32 // of the front end
	Index  uint32 // among the devices of that domain
	Path   string // what the toolstack was told to share; may be empty

	// MaxMessage is how many bytes a message may have, so that requestsPerRing
	// fit into each of the rings.
	MaxMessage uint32
}

func (d Device) String() string { return fmt.Sprintf("xen domain %d", d.Domain) }

// Config describes a back end.
type Config struct {
	// NewChannel is called for each front end that connects. If it fails, the
	// device is closed.
	NewChannel func(Device) (Channel, error)
	Log        zerolog.Logger
}

// Backend serves all 9P devices of which this domain is the back end.
type Backend struct {
	config     Config
	store      *store
	hypervisor hypervisor
	closing    sync.Once
}

// Where the kernel has what we need.
const (
	xenbusFile = "/dev/xen/xenbus"
	evtchnFile = "/dev/xen/evtchn"
	gntdevFile = "/dev/xen/gntdev"
)

// Open connects to the hypervisor. One of Serve and Close follows.
func Open(c Config) (*Backend, error) {
	b, err := open(c)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.ENXIO) {
		err = fmt.Errorf("%w; 9P for Xen is served inside of a domain that has the modules xen-evtchn and xen-gntdev loaded", err)
	}
	if err != nil {
		return nil, fmt.Errorf("xen 9P back end: %w", err)
	}
	return b, nil
}

func open(c Config) (*Backend, error) {
	conn, err := os.OpenFile(xenbusFile, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(evtchnFile); err != nil {
		conn.Close()
		return nil, err
	}
	grants, err := openGntdev(gntdevFile)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return newBackend(c, conn, linux{grants}), nil
}

// newBackend takes over conn.
func newBackend(c Config, conn io.ReadWriteCloser, hv hypervisor) *Backend {
	return &Backend{config: c, store: newStore(conn), hypervisor: hv}
}

// linux is the hypervisor as Linux lets processes use it.
type linux struct{ gntdev }

func (linux) bind(domain, port uint32) (eventChannel, error) {
	e, err := bindEvtchn(evtchnFile, domain, port)
	if err != nil {
		return nil, err
	}
	return e, nil
}

// Close ends what Open began. Serve does so itself.
func (b *Backend) Close() error {
	b.closing.Do(func() {
		b.store.close()
		b.hypervisor.close()
	})
	return nil
}

// root is where the toolstack makes our devices, below our own place in
// xenstore: root/DOMAIN/INDEX.
const root = "backend/9pfs"

// Serve serves devices as they come and go, until ctx ends, and then returns
// nil, when all requests have ended. Front ends are not told: the next back end
// of this domain takes them up.
func (b *Backend) Serve(ctx context.Context) error {
	defer b.Close()
	changed := make(chan struct{}, 1)
	unwatch, err := b.store.watch(root, changed)
	if err != nil {
		return fmt.Errorf("xen 9P back end: %w", err)
	}
	defer unwatch()
	devices := make(map[string]*running)
	defer func() {
		for _, r := range devices {
			r.stop()
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-b.store.done:
			return fmt.Errorf("xen 9P back end: %w", b.store.err)
		case <-changed:
			if err := b.update(devices); err != nil {
				return fmt.Errorf("xen 9P back end: %w", err)
			}
		}
	}
}

// running is a device that is being served.
type running struct {
	device *device
	cancel context.CancelFunc
	ended  chan struct{}
}

func (r *running) stop() {
	r.cancel()
	<-r.ended
}

// update begins and ends the serving of devices that have come and gone, and
// lets the others look after themselves.
func (b *Backend) update(devices map[string]*running) error {
	there, err := b.list()
	if err != nil {
		return err
	}
	for dir, r := range devices {
		if _, ok := there[dir]; !ok {
			r.stop()
			delete(devices, dir)
		}
	}
	for dir, d := range there {
		if r := devices[dir]; r != nil {
			kick(r.device.changed)
		} else if r, err := b.begin(dir, d); err != nil {
			return err
		} else if r != nil {
			devices[dir] = r
		}
	}
	return nil
}

// list returns the devices of which we are the back end, by their directories.
func (b *Backend) list() (map[string]Device, error) {
	devices := make(map[string]Device)
	t := b.store.now()
	domains, err := t.list(root)
	if err != nil {
		return nil, err
	}
	for _, domain := range domains {
		id, err := strconv.ParseUint(domain, 10, 32)
		if err != nil {
			continue // the toolstack's own affair
		}
		indexes, err := t.list(root + "/" + domain)
		if err != nil {
			return nil, err
		}
		for _, index := range indexes {
			if n, err := strconv.ParseUint(index, 10, 32); err == nil {
				devices[root+"/"+domain+"/"+index] = Device{Domain: uint32(id), Index: uint32(n)}
			}
		}
	}
	return devices, nil
}

// logBurst is how many lines a device logs in a minute: its domain can break it
// again and again, and nobody wants to read that.
const logBurst = 10

// begin serves a device. It returns nil for one that is not complete yet.
func (b *Backend) begin(dir string, about Device) (*running, error) {
	frontend, err := b.store.now().read(dir + "/frontend")
	if errors.Is(err, syscall.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	d := &device{
		Backend: b, Device: about, dir: dir, frontend: frontend, changed: make(chan struct{}, 1),
		log: b.config.Log.With().Stringer("client", about).Uint32("device", about.Index).Logger().
			Sample(&zerolog.BurstSampler{Burst: logBurst, Period: time.Minute}),
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{device: d, cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		if err := d.serve(ctx); err != nil {
			d.log.Error().Err(err).Msg("xen 9P device is not served any more")
		}
	}()
	return r, nil
}
