package nfs41

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/fsva/fsva/server/xdr"
)

// pair returns a connection and the server's end of it.
func pair(t *testing.T) (*Conn, net.Conn) {
	t.Helper()
	client, server := net.Pipe()
	c := NewConn(client)
	t.Cleanup(func() {
		server.Close()
		c.Close()
	})
	return c, server
}

// receive reads a call and returns its xid. Any goroutine may call it.
func receive(t *testing.T, nc net.Conn) []byte {
	rec, err := ReadRecord(nc, nil)
	if err != nil {
		t.Error(err)
		return make([]byte, 4)
	}
	return rec[:4]
}

// accepted is a reply that carries results.
func accepted(xid []byte, results ...uint32) []byte {
	e := xdr.Encoder{Buf: bytes.Clone(xid)}
	for _, v := range append([]uint32{msgReply, 0, authNone, 0, uint32(Success)}, results...) {
		e.Uint32(v)
	}
	return e.Buf
}

func TestRecordSurvivesAnyFragmentSize(t *testing.T) {
	payload := []byte("twelve bytes")
	for size := range len(payload) + 2 {
		var b bytes.Buffer
		if err := WriteRecord(&b, payload, size); err != nil {
			t.Fatal(err)
		}
		got, err := ReadRecord(&b, nil)
		if err != nil || !bytes.Equal(got, payload) {
			t.Errorf("fragments of %d: %q, %v", size, got, err)
		}
	}
}

func TestRecordOfImpossibleLengthIsRefused(t *testing.T) {
	if _, err := ReadRecord(bytes.NewReader([]byte{0xff, 0xff, 0xff, 0xff}), nil); err == nil {
		t.Error("2 GiB fragment accepted")
	}
}

func TestRepliesOutOfOrderReachTheirCallers(t *testing.T) {
	c, server := pair(t)
	got := [2]chan uint32{make(chan uint32, 1), make(chan uint32, 1)}
	xids := [2][]byte{}
	for i := range 2 {
		go func() {
			var v uint32
			if err := c.Call(1, 1, uint32(i), nil, func(d *xdr.Decoder) { v = d.Uint32() }); err != nil {
				t.Error(err)
			}
			got[i] <- v
		}()
		xids[i] = receive(t, server)
	}
	WriteRecord(server, accepted(xids[1], 101), 0)
	WriteRecord(server, accepted(xids[0], 100), 8)
	for i := range 2 {
		if v := <-got[i]; v != uint32(100+i) {
			t.Errorf("caller %d got the reply %d", i, v)
		}
	}
}

func TestCallFailsWhenTheConnectionEnds(t *testing.T) {
	c, server := pair(t)
	result := make(chan error, 1)
	go func() { result <- c.Null() }()
	receive(t, server)
	server.Close()
	if err := <-result; !errors.Is(err, io.EOF) {
		t.Errorf("waiting call: %v", err)
	}
	if err := c.Null(); !errors.Is(err, io.EOF) {
		t.Errorf("later call: %v", err)
	}
}

func TestCallWithoutReplyTimesOut(t *testing.T) {
	c, server := pair(t)
	c.Timeout = time.Millisecond
	result := make(chan error, 1)
	go func() { result <- c.Null() }()
	xid := receive(t, server)
	if err := <-result; !errors.Is(err, ErrTimeout) {
		t.Fatal(err)
	}
	c.Timeout = DefaultTimeout
	WriteRecord(server, accepted(xid), 0) // late: must be dropped
	go func() { result <- c.Null() }()
	WriteRecord(server, accepted(receive(t, server)), 0)
	if err := <-result; err != nil {
		t.Errorf("next call: %v", err)
	}
}

func TestRefusedCallsTellWhy(t *testing.T) {
	for _, tt := range []struct {
		name string
		body []uint32
		want RPCError
	}{
		{"program mismatch", []uint32{msgReply, 0, 0, 0, 2, 3, 4}, RPCError{Accept: ProgMismatch, Low: 3, High: 4}},
		{"garbage arguments", []uint32{msgReply, 0, 0, 0, 4}, RPCError{Accept: GarbageArgs}},
		{"RPC version", []uint32{msgReply, 1, 0, 2, 2}, RPCError{Denied: true, Low: 2, High: 2}},
		{"credential", []uint32{msgReply, 1, 1, 5}, RPCError{Denied: true, Reject: 1, Auth: 5}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, server := pair(t)
			go func() {
				e := xdr.Encoder{Buf: receive(t, server)}
				for _, v := range tt.body {
					e.Uint32(v)
				}
				WriteRecord(server, e.Buf, 0)
			}()
			e, ok := errors.AsType[*RPCError](c.Null())
			if !ok || *e != tt.want {
				t.Errorf("%+v, want %+v", e, tt.want)
			}
		})
	}
}

func TestServerCallsAreAnsweredAndSeen(t *testing.T) {
	c, server := pair(t)
	seen := make(chan CBOp, 2)
	c.HandleCallbacks(func(op CBOp) Status {
		seen <- op
		return NFS4_OK
	})
	e := xdr.Encoder{}
	encodeCall(&e, 7, CallbackProgram, 1, ProcCompound, Cred{None: true})
	e.String("tag")
	e.Uint32(1) // minor version
	e.Uint32(0) // callback_ident
	e.Uint32(2)
	e.Uint32(11) // CB_SEQUENCE
	e.Fixed(make([]byte, 16))
	for _, v := range []uint32{5, 0, 3, 0, 0} { // seqid, slot, highest, cache, no referring calls
		e.Uint32(v)
	}
	e.Uint32(10) // CB_RECALL_SLOT
	e.Uint32(15)
	go WriteRecord(server, e.Buf, 0)

	reply, err := ReadRecord(server, nil)
	if err != nil {
		t.Fatal(err)
	}
	d := xdr.NewDecoder(reply)
	if err := decodeReply(&d); err != nil {
		t.Fatal(err)
	}
	if st, tag, n := d.Uint32(), d.String(10), d.Uint32(); st != 0 || tag != "tag" || n != 2 {
		t.Errorf("status %d, tag %q, %d results", st, tag, n)
	}
	if s := (<-seen).(*CBSequence); s.Seq != 5 || s.Highest != 3 {
		t.Errorf("%+v", s)
	}
	if s := (<-seen).(*CBRecallSlot); s.TargetHighest != 15 {
		t.Errorf("%+v", s)
	}
}
