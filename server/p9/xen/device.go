package xen

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"syscall"

	"github.com/rs/zerolog"
)

// state is what each end of a device writes for the other (XenbusState in
// xen/include/public/io/xenbus.h).
type state string

const (
	stateNone         state = "" // the front end is not there
	stateInitialising state = "1"
	stateInitWait     state = "2"
	stateInitialised  state = "3"
	stateConnected    state = "4"
	stateClosing      state = "5"
	stateClosed       state = "6"
)

// What the back end can do, as QEMU's.
const (
	protocolVersion = "1"
	maxRings        = 8
)

// device is one device of another domain. Its fields belong to the goroutine in
// serve.
type device struct {
	*Backend
	Device
	dir      string // ours in xenstore
	frontend string // the other's
	log      zerolog.Logger

	changed chan struct{} // what we or the front end wrote, or somebody for us
	said    state         // what we wrote last; stateNone if that was another process
	served  bool          // a front end has been looked at
	broken  bool          // the front end has to close the device first
	session *session      // while connected
}

// serve follows the front end until ctx ends. What it was told last remains: a
// back end that comes after us goes on from there.
func (d *device) serve(ctx context.Context) error {
	unwatch, err := d.store.watch(d.frontend+"/state", d.changed)
	if err != nil {
		return err
	}
	defer unwatch()
	defer d.disconnect()
	for {
		var failed chan struct{}
		if d.session != nil {
			failed = d.session.failed
		}
		select {
		case <-ctx.Done():
			return nil
		case <-failed:
			if err := d.giveUp(d.session.err); err != nil {
				return err
			}
		case <-d.changed:
			if err := d.step(); err != nil {
				return err
			}
		}
	}
}

// giveUp closes a device that does not work. The front end can begin anew.
func (d *device) giveUp(err error) error {
	d.log.Error().Err(err).Msg("xen 9P device is stopped until its domain resets it")
	d.disconnect()
	d.broken = true
	return d.setState(stateClosing)
}

// step does what the front end's state asks for.
func (d *device) step() error {
	now, err := d.frontState()
	if err != nil {
		return err
	}
	ours, err := d.optional("state")
	if err != nil {
		return err
	}
	if d.ended(state(ours)) {
		d.disconnect()
		return d.remove()
	}
	first := !d.served
	d.served = true
	switch now {
	case stateInitialising:
		// Also where it was connected: the domain has booted anew.
		d.disconnect()
		d.broken = false
		return d.offer()
	case stateInitialised:
		return d.connect()
	case stateConnected:
		if first {
			// With a back end before us. Its rings are still there.
			return d.connect()
		}
		return nil
	case stateClosing:
		d.disconnect()
		return d.setState(stateClosing)
	case stateClosed, stateNone:
		d.disconnect()
		d.broken = false
		return d.closed(now)
	}
	return nil // it has to do with itself
}

// ended tells whether our state was written by somebody else who closes the
// device. libxl takes each 9P device for one of QEMU's, and a QEMU does not answer
// any more when its domain is destroyed: so it does not ask the back end, but
// writes the last state itself (device_qemu_timeout in libxl_device.c), and waits
// until the back end has removed the device.
func (d *device) ended(ours state) bool {
	return ours == stateClosed && d.said != stateNone && d.said != stateClosed
}

func (d *device) frontState() (state, error) {
	s, err := d.store.now().read(d.frontend + "/state")
	// What the toolstack removes is gone for us, or not ours to read.
	if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.EACCES) {
		return stateNone, nil
	}
	return state(s), err
}

// offer says what we can do, and that we wait for the front end.
func (d *device) offer() error {
	return d.setState(stateInitWait,
		[2]string{"versions", protocolVersion},
		[2]string{"max-rings", strconv.Itoa(maxRings)},
		[2]string{"max-ring-page-order", strconv.Itoa(maxOrder)})
}

// closed ends a device that the front end has closed. Where the toolstack is not
// about to remove it, the front end may come back: Linux expects to find us
// ready when it loads its module again.
func (d *device) closed(front state) error {
	online, err := d.optional("online")
	switch {
	case err != nil:
		return err
	case online == "0":
		if err := d.setState(stateClosed); err != nil {
			return err
		}
		return d.remove()
	case front == stateNone:
		return d.setState(stateClosed)
	}
	return d.offer()
}

// remove removes the device from xenstore, as the toolstack expects of back ends
// that are not in its own domain.
func (d *device) remove() error {
	err := d.store.transact(func(t transaction) error {
		if err := t.remove(d.dir); err != nil {
			return err
		}
		domain := path.Dir(d.dir)
		if others, err := t.list(domain); err != nil || len(others) > 0 {
			return err
		}
		if err := t.remove(domain); !errors.Is(err, syscall.EACCES) {
			return err
		}
		return nil // the toolstack's own, unless it knows us as a driver domain
	})
	if errors.Is(err, syscall.ENOENT) {
		return nil // it was faster
	}
	return err
}

// connect opens the front end's rings, unless they are open.
func (d *device) connect() error {
	if d.broken {
		return nil
	}
	infos, err := d.rings()
	if d.session != nil && slices.Equal(infos, d.session.infos) {
		return nil
	}
	d.disconnect()
	if err == nil {
		d.Path, err = d.optional("path")
	}
	if err == nil {
		d.session, err = connect(d.hypervisor, d.Domain, infos, func(maxMessage uint32) (Channel, error) {
			d.MaxMessage = maxMessage
			return d.config.NewChannel(d.Device)
		})
	}
	if err != nil {
		return d.giveUp(err)
	}
	d.log.Info().Int("rings", len(infos)).Msg("xen 9P device is connected")
	return d.setState(stateConnected)
}

func (d *device) disconnect() {
	if d.session != nil {
		d.session.end()
		d.session = nil
	}
}

// optional reads a key of ours that may not be there.
func (d *device) optional(key string) (string, error) {
	s, err := d.store.now().read(d.dir + "/" + key)
	if errors.Is(err, syscall.ENOENT) {
		return "", nil
	}
	return s, err
}

// rings reads what the front end has written.
func (d *device) rings() (infos []ringInfo, err error) {
	t := d.store.now()
	version, err := t.read(d.frontend + "/version")
	if err != nil {
		return nil, err
	}
	if version != protocolVersion {
		return nil, fmt.Errorf("version %q", version)
	}
	n, err := d.number("num-rings")
	if err != nil {
		return nil, err
	}
	if n < 1 || n > maxRings {
		return nil, fmt.Errorf("%d rings", n)
	}
	infos = make([]ringInfo, n)
	for i := range infos {
		if infos[i].ref, err = d.number(fmt.Sprintf("ring-ref%d", i)); err != nil {
			return nil, err
		}
		if infos[i].port, err = d.number(fmt.Sprintf("event-channel-%d", i)); err != nil {
			return nil, err
		}
	}
	return infos, nil
}

func (d *device) number(key string) (uint32, error) {
	s, err := d.store.now().read(d.frontend + "/" + key)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%s is %q", key, s)
	}
	return uint32(n), nil
}

// setState writes our state, and other keys with it, unless it is that already.
// The toolstack writes our state too; that it has removed the device instead is
// no mistake.
func (d *device) setState(s state, keys ...[2]string) error {
	err := d.store.transact(func(t transaction) error {
		old, err := t.read(d.dir + "/state")
		if err != nil || state(old) == s || d.ended(state(old)) {
			return err
		}
		for _, key := range append(keys, [2]string{"state", string(s)}) {
			if err := t.write(d.dir+"/"+key[0], key[1]); err != nil {
				return err
			}
		}
		return nil
	})
	d.said = s
	if errors.Is(err, syscall.ENOENT) {
		return nil
	}
	return err
}
