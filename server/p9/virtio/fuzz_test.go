package virtio

import (
	"context"
	"net"
	"os"
	"testing"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/server/p9/p9test"
)

// FuzzMessage has a session read whatever comes, with descriptors of the kind
// that a message wants if the first byte says so. It must end, and neither
// panic nor leave anything behind.
func FuzzMessage(f *testing.F) {
	memfd, err := unix.MemfdCreate("guest", unix.MFD_CLOEXEC)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { unix.Close(memfd) })
	if err := unix.Ftruncate(memfd, 64<<10); err != nil {
		f.Fatal(err)
	}
	kick := newEventfd(f)

	ringAddr := native.AppendUint64(vringStatePayload(0, 0), 0x1000)
	ringAddr = native.AppendUint64(ringAddr, 0x3000)
	ringAddr = native.AppendUint64(ringAddr, 0x2000)
	ringAddr = native.AppendUint64(ringAddr, 0)
	var start []byte
	for _, m := range [][]byte{
		encode(reqGetFeatures, 0, nil),
		encode(reqSetProtocolFeatures, 0, u64Payload(protocolFeatures)),
		encode(reqGetConfig, 0, append(native.AppendUint32(vringStatePayload(0, 2), 0), 0, 0)),
		encode(reqSetFeatures, 0, u64Payload(features)),
		encode(reqSetMemTable, flagNeedReply, memTablePayload(regionInfo{size: 64 << 10})),
		encode(reqSetVringNum, 0, vringStatePayload(0, 8)),
		encode(reqSetVringBase, 0, vringStatePayload(0, 0)),
		encode(reqSetVringAddr, 0, ringAddr),
		encode(reqSetVringKick, flagNeedReply, u64Payload(0)),
		encode(reqSetVringCall, flagNeedReply, u64Payload(0)),
		encode(reqSetVringEnable, flagNeedReply, vringStatePayload(0, 1)),
		encode(reqGetVringBase, 0, vringStatePayload(0, 0)),
	} {
		start = append(start, m...)
		f.Add(true, m)
		f.Add(false, m)
	}
	f.Add(true, start)

	f.Fuzz(func(t *testing.T, fds bool, b []byte) {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		front, back := unixConn(t, pair[0]), unixConn(t, pair[1])
		defer front.Close()
		c := Config{Tag: "share", Log: zerolog.Nop(), MaxInFlight: 2, NewChannel: func() Channel {
			return p9test.NewChannel(echo)
		}}
		s := newSession(&c, back)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if s.serve() == nil {
				t.Error("the session ended without saying why")
			}
			back.Close()
		}()
		go drain(front)
		for len(b) > 0 {
			m := b
			if len(m) > headerSize {
				m = m[:min(uint64(len(m)), headerSize+uint64(native.Uint32(m[8:])))]
			}
			b = b[len(m):]
			var oob []byte
			if fds {
				oob = rightsFor(m, memfd, int(kick.Fd()))
			}
			// It fails when the session has ended.
			if _, _, err := front.WriteMsgUnix(m, oob, nil); err != nil {
				break
			}
		}
		front.CloseWrite()
		<-ended
		if s.queue.memory != nil || s.queue.run != nil || s.queue.kick != nil {
			t.Error("the session has left something behind")
		}
	})
}

// rightsFor gives a message the descriptors that it wants.
func rightsFor(m []byte, memfd, event int) []byte {
	if len(m) < headerSize+8 {
		return nil
	}
	var fds []int
	switch request(native.Uint32(m)) {
	case reqSetMemTable:
		for range min(native.Uint32(m[headerSize:]), maxRegions) {
			fds = append(fds, memfd)
		}
	case reqSetVringKick, reqSetVringCall, reqSetVringErr:
		fds = []int{event}
	}
	if fds == nil {
		return nil
	}
	return unix.UnixRights(fds...)
}

func unixConn(t testing.TB, fd int) *net.UnixConn {
	f := os.NewFile(uintptr(fd), "socket")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	return c.(*net.UnixConn)
}

// drain takes answers, so that the session does not wait for the front end.
func drain(c *net.UnixConn) {
	b := make([]byte, 4096)
	for {
		if _, err := c.Read(b); err != nil {
			return
		}
	}
}

// FuzzQueue runs a ring in memory whose content is arbitrary. Chains have to
// lie in the memory and within the bounds.
func FuzzQueue(f *testing.F) {
	const (
		size    = 8
		memSize = 4096
		avail   = descriptorSize * size
		used    = avail + ringHeader + availEntry*size + ringTrailer + 4
		rest    = used + ringHeader + usedEntry*size + ringTrailer
	)
	seed := func(head uint16, descriptors ...descriptor) {
		b := make([]byte, rest+4*descriptorSize)
		for i, d := range descriptors {
			if i < size {
				put(b, i, d)
			} else {
				put(b[rest:], i-size, d)
			}
		}
		b[avail+2] = 1
		b[avail+ringHeader] = byte(head)
		f.Add(b, uint16(0), true)
		f.Add(b, uint16(65535), false)
	}
	seed(0, descriptor{guestBase, 10, flagNext, 1}, descriptor{guestBase, 10, flagWrite, 0})
	seed(9)
	seed(0, descriptor{guestBase, 10, flagNext, 0})
	seed(0, descriptor{guestBase + memSize - 8, 16, flagNext, 1}, descriptor{guestBase - 1, 2, flagWrite, 0})
	indirect := make([]descriptor, size)
	indirect[0] = descriptor{guestBase + rest, 3 * descriptorSize, flagIndirect, 0}
	seed(0, append(indirect, descriptor{guestBase, 10, flagNext, 1}, descriptor{guestBase, 10, flagWrite | flagNext, 2}, descriptor{guestBase, 0, flagIndirect, 0})...)

	f.Fuzz(func(t *testing.T, content []byte, next uint16, indirect bool) {
		// Two regions which follow each other in the guest.
		b := make([]byte, memSize)
		copy(b, content)
		mem := &memory{regions: []region{
			{regionInfo: regionInfo{guest: guestBase, size: memSize / 2, user: userBase}, data: b[:memSize/2]},
			{regionInfo: regionInfo{guest: guestBase + memSize/2, size: memSize / 2, user: userHigh}, data: b[memSize/2:]},
		}}
		info := ringInfo{size: size, desc: userBase, avail: userBase + avail, used: userBase + used, features: features}
		if !indirect {
			info.features &^= featureIndirect | featureEventIndex
		}
		r, err := newRing(mem, info, next)
		if err != nil {
			t.Fatal(err)
		}
		var c chain
		for range 2 * size {
			ok, err := r.pop(&c)
			if err != nil || !ok {
				break
			}
			room, err := echo(context.Background(), c.in, c.out)
			if err != nil || uint64(room) > c.room || len(c.in) > maxChain || len(c.out) > maxChain {
				t.Fatalf("%d bytes in a room of %d, from %d to %d pieces: %v", room, c.room, len(c.in), len(c.out), err)
			}
			r.push(c.head, uint32(room))
			r.listen()
			r.ignore()
		}
	})
}
