// Package transport is what the rings that guests' memory is shared by, of
// packages virtio and xen, ask of a 9P server.
package transport

import "context"

// Channel is the 9P server's end of one guest's mounts, from Tversion on. A
// guest that resets its device gets another one.
//
// A request goes through three calls. Accept tells that it has come, Answer has
// it answered, and Done tells that the guest has the reply. That is for Tflush:
// its Rflush must not come before the reply to what it flushes, as the client
// then uses tag and buffers of that for something else (flush(5)). The Answer
// of a Tflush therefore returns only after the Done of what it flushes, if that
// was accepted.
type Channel interface {
	// Accept begins the request in the slices in. Requests of a ring come one
	// after the other, in the order of the guest. Where it has several rings,
	// what a Tflush flushes may come after that, but comes before its Answer.
	// Accept waits for nothing. It fails where Answer does.
	Accept(in [][]byte) (Request, error)

	// Close is called once, after the Done of all requests.
	Close()
}

// Request is a request that was accepted. Answer and Done are called once each,
// of many requests at the same time.
type Request interface {
	// Answer answers the request by writing to the slices out, in order, and
	// returns how many bytes it wrote there. These and the slices of Accept may
	// be the guest's own memory: the guest can change it at any time, so what is
	// decided upon must be copied first, and what is written can be read early.
	// The slices are not used after Answer returned.
	//
	// When ctx ends, the device is being stopped and waits: Answer then returns
	// soon, with an answer, as the guest may only be paused and miss one. An
	// error means that the guest cannot be talked to any more, and ends the
	// device until the guest resets it; after ctx has ended, it leaves this
	// request unanswered and no more.
	//
	// Memory that a front end takes away faults when it is touched. In the
	// goroutine of the call this is a panic, which the device sees to; system
	// calls return EFAULT. Other goroutines must not touch the slices.
	Answer(ctx context.Context, out [][]byte) (n int, err error)

	// Done tells that the reply is where the guest finds it, or that none comes.
	// It is called after Answer, also if that failed.
	Done()
}
