package p9test

import (
	"context"

	"github.com/fsva/fsva/server/p9/transport"
)

// Answer answers a request that lies in the pieces in, and returns how many bytes
// of out it has written.
type Answer func(ctx context.Context, in, out [][]byte) (int, error)

// Channel is a transport.Channel made of a function.
type Channel struct {
	Answer Answer
	Closed chan struct{} // is closed by Close
}

// NewChannel returns a Channel that is open.
func NewChannel(answer Answer) *Channel { return &Channel{answer, make(chan struct{})} }

// Accept implements transport.Channel.
func (c *Channel) Accept(in [][]byte) (transport.Request, error) {
	return request{c.Answer, in}, nil
}

// Close implements transport.Channel.
func (c *Channel) Close() { close(c.Closed) }

type request struct {
	answer Answer
	in     [][]byte
}

func (r request) Answer(ctx context.Context, out [][]byte) (int, error) {
	return r.answer(ctx, r.in, out)
}

func (r request) Done() {}
