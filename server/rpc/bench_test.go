package rpc_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/fsva/fsva/server/rpc"
)

// BenchmarkNull measures calls without arguments over TCP: one after the
// other, with others under way, and where each may block.
func BenchmarkNull(b *testing.B) {
	null := handler(func(*rpc.Call) rpc.AcceptStat { return rpc.Success })
	mayBlock := handler(func(c *rpc.Call) rpc.AcceptStat { c.MayBlock(); return rpc.Success })
	for _, bc := range []struct {
		name   string
		h      handler
		window int // calls under way
	}{
		{"RoundTrip", null, 1},
		{"Pipelined", null, 64},
		{"MayBlockRoundTrip", mayBlock, 1},
		{"MayBlockPipelined", mayBlock, 64},
	} {
		b.Run(bc.name, func(b *testing.B) {
			s := serve(b, rpc.Options{}, bc.h)
			nc, err := net.Dial("tcp", s.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			defer nc.Close()
			b.ReportAllocs()
			b.ResetTimer()
			if err := pipeline(nc, call(1, 0, nil), len(record(success(1, nil))), bc.window, b.N); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// pipeline makes n calls, of which up to window are under way.
func pipeline(nc net.Conn, msg []byte, reply, window, n int) error {
	r := bufio.NewReaderSize(nc, 64<<10)
	batch := bytes.Repeat(msg, window)
	for sent, received := 0, 0; received < n; {
		if more := min(window-(sent-received), n-sent); more > 0 {
			if _, err := nc.Write(batch[:more*len(msg)]); err != nil {
				return err
			}
			sent += more
		}
		for first := true; first || r.Buffered() >= reply; first = false {
			if _, err := io.CopyN(io.Discard, r, int64(reply)); err != nil {
				return fmt.Errorf("reply %d: %w", received, err)
			}
			received++
		}
	}
	return nil
}
