package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/fsva/fsva/server/rpc"
	"github.com/fsva/fsva/server/xdr"
)

// file is a vfs.Descriptor that counts.
type file struct {
	*os.File
	pins, unpins atomic.Int32
}

// newFile makes a file that holds data.
func newFile(t testing.TB, data []byte) *file {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return &file{File: f}
}

func (f *file) PinFD() (int, error) {
	f.pins.Add(1)
	return int(f.Fd()), nil
}

func (f *file) UnpinFD() { f.unpins.Add(1) }

// expectUnpinned fails the test unless the file was pinned, and unpinned as
// often.
func (f *file) expectUnpinned(t testing.TB) {
	t.Helper()
	if p, u := f.pins.Load(), f.unpins.Load(); p == 0 || p != u {
		t.Errorf("pinned %d times and unpinned %d times", p, u)
	}
}

// shutdown ends the server with all of its calls.
func (s *service) shutdown(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// sizes are lengths of data with each padding, and around what goes out in one
// piece.
var sizes = []int{0, 1, 2, 3, 4, 5, 1000, 64<<10 - 1, 64 << 10, 64<<10 + 1, 1<<20 + 3}

func TestDataOfAReplyMayLieAnywhere(t *testing.T) {
	overEach(t, func(t *testing.T, listen func(testing.TB) listener) {
		content := pattern(1<<20 + 10)
		f := newFile(t, content)
		buffer := func(r *rpc.Reply, n int) {
			b := rpc.GetBuffer(n + 5)
			copy(b.B, content)
			r.OpaqueBuffer(b, n)
		}
		fromFile := func(r *rpc.Reply, n int) {
			if err := r.OpaqueFile(f, 7, n, nil); err != nil {
				t.Error(err)
			}
		}
		inBuffer := func(e *xdr.Encoder, n int) { e.Opaque(content[:n]) }
		inFile := func(e *xdr.Encoder, n int) { e.Opaque(content[7 : 7+n]) }
		for name, tc := range map[string]struct {
			reply func(r *rpc.Reply, n int)
			want  func(e *xdr.Encoder, n int)
		}{
			"buffer": {buffer, inBuffer},
			"file":   {fromFile, inFile},
			"among words": {
				func(r *rpc.Reply, n int) { r.Uint32(1); buffer(r, n); r.Uint32(2); fromFile(r, n); r.Uint32(3) },
				func(e *xdr.Encoder, n int) { e.Uint32(1); inBuffer(e, n); e.Uint32(2); inFile(e, n); e.Uint32(3) },
			},
			"one after the other": {
				func(r *rpc.Reply, n int) { fromFile(r, n); buffer(r, n); buffer(r, 3); fromFile(r, n); fromFile(r, 1) },
				func(e *xdr.Encoder, n int) { inFile(e, n); inBuffer(e, n); inBuffer(e, 3); inFile(e, n); inFile(e, 1) },
			},
		} {
			t.Run(name, func(t *testing.T) {
				flat := make(chan []byte, 1)
				s := serveOver(t, listen, rpc.Options{}, func(c *rpc.Call) rpc.AcceptStat {
					if c.Procedure == 0 {
						return rpc.Success
					}
					start := c.Reply.Len()
					tc.reply(&c.Reply, int(c.Args.Uint32()))
					results, err := c.Reply.Flatten(start)
					if err != nil {
						t.Error(err)
					}
					if c.Reply.Size() != len(results) {
						t.Errorf("Size is %d, want %d", c.Reply.Size(), len(results))
					}
					flat <- bytes.Clone(results)
					return rpc.Success
				})
				c := s.dial(t)
				for _, n := range sizes {
					var want xdr.Encoder
					tc.want(&want, n)
					c.send(call(1, 0, nil), call(2, 1, words(uint32(n))), call(3, 0, nil))
					c.expect(success(1, nil))
					c.expect(success(2, want.Buf))
					c.expect(success(3, nil))
					if !bytes.Equal(wait(t, flat, "the reply"), want.Buf) {
						t.Errorf("Flatten of %d bytes is not what was sent", n)
					}
				}
				s.shutdown(t)
			})
		}
		f.expectUnpinned(t)
	})
}

func TestFileThatEndsEarlyGivesZeroes(t *testing.T) {
	overEach(t, func(t *testing.T, listen func(testing.TB) listener) {
		for name, tc := range map[string]struct{ size, off, n int }{
			"in the middle":       {100_001, 0, 200_000},
			"before":              {10, 10, 1001},
			"long before":         {0, 1 << 40, 3},
			"by its last byte":    {99, 0, 100},
			"over several pieces": {1, 0, 1 << 20},
		} {
			t.Run(name, func(t *testing.T) {
				content := pattern(200_000)
				f := newFile(t, content)
				s := serveOver(t, listen, rpc.Options{}, func(c *rpc.Call) rpc.AcceptStat {
					if err := c.Reply.OpaqueFile(f, int64(tc.off), tc.n, nil); err != nil {
						t.Error(err)
					}
					if err := f.Truncate(int64(tc.size)); err != nil {
						t.Error(err)
					}
					c.Reply.Uint32(0xffffffff)
					return rpc.Success
				})
				data := make([]byte, tc.n)
				if tc.off < tc.size {
					copy(data, content[tc.off:tc.size])
				}
				var want xdr.Encoder
				want.Opaque(data)
				want.Uint32(0xffffffff)
				c := s.dial(t)
				c.send(call(1, 1, nil))
				c.expect(success(1, want.Buf))
				s.shutdown(t)
				f.expectUnpinned(t)
			})
		}
	})
}

// TestFileThatCannotBeSplicedIsSent: sendfile refuses some files that can be
// read.
func TestFileThatCannotBeSplicedIsSent(t *testing.T) {
	const name = "/proc/self/auxv"
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	overEach(t, func(t *testing.T, listen func(testing.TB) listener) {
		auxv, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer auxv.Close()
		f, data := &file{File: auxv}, append(content[16:], 0, 0, 0)
		s := serveOver(t, listen, rpc.Options{}, func(c *rpc.Call) rpc.AcceptStat {
			if err := c.Reply.OpaqueFile(f, 16, len(data), nil); err != nil {
				t.Error(err)
			}
			return rpc.Success
		})
		var want xdr.Encoder
		want.Opaque(data)
		c := s.dial(t)
		c.send(call(1, 1, nil))
		c.expect(success(1, want.Buf))
		s.shutdown(t)
		f.expectUnpinned(t)
	})
}

// TestFileThatCannotBeReadEndsTheConnection: its length has been promised, and
// zeroes would be taken for data.
func TestFileThatCannotBeReadEndsTheConnection(t *testing.T) {
	overEach(t, func(t *testing.T, listen func(testing.TB) listener) {
		closed, err := os.OpenFile(filepath.Join(t.TempDir(), "file"), os.O_WRONLY|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer closed.Close()
		f := &file{File: closed}
		var unreadable atomic.Bool
		s := serveOver(t, listen, rpc.Options{}, func(c *rpc.Call) rpc.AcceptStat {
			if err := c.Reply.OpaqueFile(f, 0, 100, &unreadable); err != nil {
				t.Error(err)
			}
			if flat, err := c.Reply.Flatten(0); err == nil {
				t.Errorf("Flatten reads %d bytes of what cannot be read", len(flat))
			}
			unreadable.Store(false)
			return rpc.Success
		})
		c := s.dial(t)
		c.send(call(1, 1, nil))
		if got, err := readRecord(c); err == nil {
			t.Errorf("a whole reply: %x", got)
		}
		s.shutdown(t)
		if !unreadable.Load() {
			t.Error("nobody is told that the file cannot be read")
		}
		f.expectUnpinned(t)
	})
}

func TestFileThatIsNotSentIsUnpinnedOnce(t *testing.T) {
	overEach(t, func(t *testing.T, listen func(testing.TB) listener) {
		f := newFile(t, pattern(1000))
		s := serveOver(t, listen, rpc.Options{}, func(c *rpc.Call) rpc.AcceptStat {
			r := &c.Reply
			r.Uint32(1)
			r.OpaqueFile(f, 0, 4, nil)
			before := r.Mark()
			r.OpaqueFile(f, 4, 1000, nil)
			inner := r.Mark()
			r.OpaqueFile(f, 8, 1000, nil)
			size := r.Size()
			r.Rewind(inner)
			if r.Size() != size-1004 {
				t.Errorf("Size is %d after Rewind, want %d", r.Size(), size-1004)
			}
			r.Rewind(inner)
			r.Rewind(before)
			r.OpaqueFile(f, 12, 4, nil)
			switch c.Procedure {
			case 2:
				return rpc.SystemErr
			case 3:
				panic("after a file was pinned")
			}
			return rpc.Success
		})
		c := s.dial(t)
		c.send(call(1, 1, nil), call(2, 2, nil), call(3, 3, nil))
		data := pattern(1000)
		c.expect(success(1, bytes.Join([][]byte{words(1, 4), data[:4], words(4), data[12:16]}, nil)))
		c.expect(words(2, 1, 0, 0, 0, uint32(rpc.SystemErr)))
		c.expect(words(3, 1, 0, 0, 0, uint32(rpc.SystemErr)))
		s.shutdown(t)
		f.expectUnpinned(t)
		if p := f.pins.Load(); p != 12 {
			t.Errorf("pinned %d times, want 12", p)
		}
	})
}

func TestFileOfAClientThatIsGoneIsUnpinned(t *testing.T) {
	overEach(t, func(t *testing.T, listen func(testing.TB) listener) {
		f := newFile(t, pattern(100_000))
		closed := make(chan struct{})
		var unreadable atomic.Bool
		s := serveOver(t, listen, rpc.Options{}, func(c *rpc.Call) rpc.AcceptStat {
			c.MayBlock()
			c.Conn.OnClose(func() { close(closed) })
			<-c.Ctx.Done()
			c.Reply.OpaqueFile(f, 0, 100_000, &unreadable)
			return rpc.Success
		})
		c := s.dial(t)
		c.write(call(1, 1, nil))
		c.Close()
		wait(t, closed, "the end of the connection")
		f.expectUnpinned(t)
		if unreadable.Load() {
			t.Error("the file is blamed for it")
		}
	})
}

// unpinnable is a file whose descriptor is gone.
type unpinnable struct{ err error }

func (u unpinnable) PinFD() (int, error) { return -1, u.err }
func (u unpinnable) UnpinFD()            { panic("unpinned what was not pinned") }

func TestFileThatCannotBePinnedLeavesTheReplyAsItWas(t *testing.T) {
	var r rpc.Reply
	r.Uint32(1)
	gone := errors.New("gone")
	if err := r.OpaqueFile(unpinnable{gone}, 0, 4, nil); err != gone {
		t.Errorf("OpaqueFile: %v, want %v", err, gone)
	}
	if flat, err := r.Flatten(0); err != nil || !bytes.Equal(flat, words(1)) || r.Size() != 4 {
		t.Errorf("the reply is %x, %v", flat, err)
	}
	r.Rewind(rpc.Mark{})
}

// TestFlattenAliasesTheReplyIfItCan: it copies only data that lies elsewhere.
func TestFlattenAliasesTheReplyIfItCan(t *testing.T) {
	var r rpc.Reply
	r.Uint32(1)
	r.Uint32(2)
	if flat, err := r.Flatten(4); err != nil || !bytes.Equal(flat, words(2)) || &flat[0] != &r.Buf[4] {
		t.Errorf("Flatten(4) is %x elsewhere, want %x in place", flat, words(2))
	}
	b := rpc.GetBuffer(3)
	copy(b.B, "abc")
	r.OpaqueBuffer(b, 3)
	flat, err := r.Flatten(8)
	if want := []byte("\x00\x00\x00\x03abc\x00"); err != nil || !bytes.Equal(flat, want) {
		t.Errorf("Flatten(8) is %q, want %q", flat, want)
	}
	r.Rewind(rpc.Mark{})
	if r.Len() != 0 || r.Size() != 0 {
		t.Error("Rewind leaves something")
	}
}

// TestPaddingIsZero has pooled memory be anything else.
func TestPaddingIsZero(t *testing.T) {
	c := serve(t, rpc.Options{}, func(c *rpc.Call) rpc.AcceptStat {
		b := rpc.GetBuffer(4)
		copy(b.B, "\xff\xff\xff\xff")
		c.Reply.OpaqueBuffer(b, 1)
		return rpc.Success
	}).dial(t)
	for xid := range uint32(100) {
		c.send(call(xid, 1, nil))
		c.expect(success(xid, []byte{0, 0, 0, 1, 0xff, 0, 0, 0}))
	}
}
