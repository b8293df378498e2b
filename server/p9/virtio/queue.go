package virtio

import (
	"github.com/rs/zerolog"
)

// queue is the device's ring as the front end sets it up. It belongs to the
// session's goroutine.
//
// The ring runs from when it is enabled and has a kick until GET_VRING_BASE,
// and while it is disabled it pauses.
type queue struct {
	log         zerolog.Logger
	newChannel  func() Channel
	maxInFlight int

	info         ringInfo
	base         uint16 // where the next start takes up the available ring
	memory       *memory
	kick         *kick
	enabled      bool
	call, broken event

	run       *run    // nil while stopped
	channel   Channel // nil until a start needs it
	stoppedAt uint16  // what the last stop gave
}

func newQueue(c *Config) *queue {
	return &queue{
		log: c.Log, newChannel: c.NewChannel, maxInFlight: c.MaxInFlight,
		call: event{fd: noFD}, broken: event{fd: noFD},
	}
}

// set changes what a running ring does not let change.
func (q *queue) set(change func()) error {
	if q.run != nil {
		return refuse("the ring is running")
	}
	change()
	return nil
}

func (q *queue) setFeatures(v uint64) error { return q.set(func() { q.info.features = v }) }
func (q *queue) setSize(n uint32) error     { return q.set(func() { q.info.size = n }) }
func (q *queue) setBase(base uint16) error  { return q.set(func() { q.base = base }) }

func (q *queue) setAddresses(desc, avail, used uint64) error {
	return q.set(func() { q.info.desc, q.info.avail, q.info.used = desc, avail, used })
}

// setMemory takes over the caller's reference. Requests in flight end in the
// memory that they began with: a table can change at any time, as when memory
// is plugged in, and the front end, which waits for us, must not have to wait
// for them.
func (q *queue) setMemory(mem *memory) {
	old := q.memory
	q.memory = mem
	if q.run != nil {
		q.run.pause()
		q.run.move(mem, q.info)
	}
	if old != nil {
		old.release()
	}
	q.update()
}

// setKick takes over fd.
func (q *queue) setKick(fd int) error {
	kick, err := newKick(fd)
	if err != nil {
		return refuse("%w", err)
	}
	if q.run != nil {
		q.run.pause()
	}
	q.closeKick()
	q.kick = kick
	q.update()
	return nil
}

func (q *queue) closeKick() {
	if q.kick != nil {
		q.kick.close()
		q.kick = nil
	}
}

func (q *queue) enable(on bool) {
	q.enabled = on
	q.update()
}

// update starts, pauses or resumes the ring, as the settings ask for. A front
// end that does not know protocol features does not enable rings either.
func (q *queue) update() {
	ready := q.kick != nil && (q.enabled || q.info.features&featureProtocolFeatures == 0)
	switch {
	case ready && q.run == nil:
		q.start()
	case ready:
		q.run.resume(q.kick)
	case q.run != nil:
		q.run.pause()
	}
}

// start runs the ring from base. A guest that was paused goes on where it was
// stopped, with the same channel. One that was reset starts from zero and gets
// a new one, so that nothing is kept for files that it has forgotten.
func (q *queue) start() {
	if q.channel != nil && q.base == 0 && q.stoppedAt != 0 {
		q.closeChannel()
	}
	if q.channel == nil {
		q.channel = q.newChannel()
	}
	q.run = newRun(q)
	q.run.place(q.memory, q.info, q.base)
	q.run.resume(q.kick)
}

// stop ends the run, if there is one, and returns where a next one would take
// up the available ring. No request is in flight after it, and the front end
// must set a kick again.
func (q *queue) stop() uint16 {
	if q.run != nil {
		q.base = q.run.stop(q.base)
		if q.run.failed {
			q.channel = nil
		}
		q.run = nil
	}
	q.closeKick()
	q.stoppedAt = q.base
	return q.base
}

func (q *queue) closeChannel() {
	if q.channel != nil {
		q.channel.Close()
		q.channel = nil
	}
}

// close stops the ring and gives back everything.
func (q *queue) close() {
	q.stop()
	q.closeChannel()
	for _, e := range []*event{&q.call, &q.broken} {
		// Without a descriptor there is nothing that can fail.
		_ = e.set(noFD)
	}
	if q.memory != nil {
		q.memory.release()
		q.memory = nil
	}
}
