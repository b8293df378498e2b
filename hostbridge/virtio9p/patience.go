package virtio9p

import (
	"context"
	"time"
)

// patience is with a server that stalls while a message passes. While the device
// runs there is no end to it: the server's machine may only be paused, as for a
// snapshot, and a mount does not survive its connection. When ctx ends, the
// device is being stopped, and the rest of the message has its time.
type patience struct {
	ctx         context.Context
	setDeadline func(time.Time) error // of the connection
	time        time.Duration

	disarm func() bool // nil until the server stalls
	armed  chan struct{}
}

// stalls says that the server does.
func (p *patience) stalls() {
	if p.disarm != nil {
		return
	}
	p.armed = make(chan struct{})
	p.disarm = context.AfterFunc(p.ctx, func() {
		defer close(p.armed)
		_ = p.setDeadline(time.Now().Add(p.time)) // it fails when the connection is closed
	})
}

// end takes back the deadline, if one was set: the guest may only be paused, and
// the connection go on.
func (p *patience) end() {
	if p.disarm != nil && !p.disarm() {
		<-p.armed
		_ = p.setDeadline(time.Time{})
	}
}
