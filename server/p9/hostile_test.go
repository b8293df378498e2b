package p9

import (
	"encoding/binary"
	"math"
	"strings"
	"syscall"
	"testing"

	"github.com/fsva/fsva/adapters/mem"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/export"
)

func TestMessageOfAWrongSizeEndsItsConnectionAlone(t *testing.T) {
	b := serving(t, "")
	other := b.attached(t, 0)
	for name, msg := range map[string][]byte{
		"longer than msize":         {1, 0x20, 0, 0, byte(tgetattr), 1, 0},
		"longer than anything":      {0xff, 0xff, 0xff, 0xff, byte(tgetattr), 1, 0},
		"shorter than a header":     {6, 0, 0, 0, byte(tgetattr), 1, 0},
		"long before the handshake": {0, 0, 2, 0, byte(tversion), 1, 0},
	} {
		c := b.connect(t)
		if !strings.Contains(name, "handshake") {
			c.hello(8192)
		}
		if _, err := c.nc.Write(msg); err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := c.receive(); err == nil {
			t.Errorf("a message %s is answered", name)
		}
	}
	other.getattr(0)
}

func TestFieldsBeyondTheMessageAreRefused(t *testing.T) {
	b := serving(t, "")
	c := b.attached(t, 0)
	f := c.create("f", oRdWr, 0o644)
	for typ := range msgType(numTypes) {
		if operations[typ].serve == nil || typ == tauth || typ == tfsync {
			continue
		}
		if _, err := c.call(typ); err != vfs.EINVAL {
			t.Errorf("%s without fields: %v", operations[typ].name, err)
		}
	}
	c.mustFail(vfs.EINVAL, twrite, f, uint64(0), uint32(math.MaxUint32), []byte("x"))
	c.mustFail(vfs.EINVAL, twalk, uint32(0), uint32(50), uint16(2), "f")
	c.mustFail(vfs.EINVAL, tversion, uint32(8192), uint16(100))
	c.mustFail(vfs.EOPNOTSUPP, msgType(112), uint32(0), uint8(0)) // Topen
	c.mustFail(vfs.EOPNOTSUPP, msgType(255))
	c.getattr(f)
}

func TestOffsetsPast2To63AreRefused(t *testing.T) {
	c := serving(t, "").attached(t, 0)
	f := c.create("f", oRdWr, 0o644)
	for _, off := range []uint64{1 << 63, math.MaxUint64} {
		c.mustFail(vfs.EINVAL, tread, f, off, uint32(1))
		c.mustFail(vfs.EINVAL, twrite, f, off, uint32(1), []byte("x"))
	}
	c.mustFail(vfs.EFBIG, twrite, f, uint64(math.MaxInt64), uint32(1), []byte("x"))
	if got := c.read(f, math.MaxInt64, 10); got != "" {
		t.Errorf("read %q", got)
	}
}

func TestFIDsAreBounded(t *testing.T) {
	b := serving(t, "", func(c *Config) { c.MaxFIDs = 3 })
	c := b.attached(t, 0)
	f := c.walk("")
	c.walk("")
	if _, err := c.tryWalk(""); err != syscall.EMFILE {
		t.Errorf("a fid too many: %v", err)
	}
	c.clunk(f)
	c.walk("")
}

func TestConnectionsAreBounded(t *testing.T) {
	b := serving(t, "", func(c *Config) { c.MaxConns = 1 })
	b.attached(t, 0)
	c := b.connect(t)
	if _, _, _, err := c.receive(); err == nil {
		t.Error("a connection too many is served")
	}
}

func TestSilentConnectionsAreClosed(t *testing.T) {
	b := serving(t, "", func(c *Config) { c.HandshakeTimeout = 1 })
	c := b.connect(t)
	if _, _, _, err := c.receive(); err == nil {
		t.Error("it is served")
	}
}

// FuzzSession sends a stream of messages to a session that has a few fids. It
// must not panic, and every message whose size is right is answered.
func FuzzSession(f *testing.F) {
	join := func(messages ...[]byte) (stream []byte) {
		for _, m := range messages {
			stream = append(stream, m...)
		}
		return stream
	}
	f.Add(join(message(twalk, 1, uint32(0), uint32(9), uint16(2), "d", ".."), message(tclunk, 2, uint32(9))))
	f.Add(join(message(tlopen, 1, uint32(1), uint32(oRdWr)), message(tread, 2, uint32(1), uint64(0), uint32(100)),
		message(twrite, 3, uint32(2), uint64(1), uint32(3), []byte("abc")), message(tfsync, 4, uint32(2))))
	f.Add(message(treaddir, 1, uint32(3), uint64(0), uint32(200)))
	f.Add(join(message(txattrcreate, 1, uint32(1), "user.a", uint64(2), uint32(0)), message(twrite, 2, uint32(1), uint64(0), uint32(2), []byte("ab")), message(tclunk, 3, uint32(1))))
	f.Add(join(message(tlock, 1, lockFields(2, lockWrite, 0, 0, 0, 1)...), message(tgetlock, 2, uint32(2), uint8(0), uint64(0), uint64(0), uint32(2), "")))
	f.Add(join(message(trename, 1, uint32(1), uint32(0), "g"), message(tremove, 2, uint32(1)), message(tstatfs, 3, uint32(0))))
	f.Add(join(message(tsetattr, 1, append([]any{uint32(1), uint32(setattrKnown)}, make([]byte, 12+8+32))...), message(tgetattr, 2, uint32(1), uint64(math.MaxUint64))))
	f.Add(join(message(tmknod, 1, uint32(0), "n", uint32(0o010644), uint32(0), uint32(0), uint32(0)), message(tlink, 2, uint32(0), uint32(1), "l"),
		message(tsymlink, 3, uint32(0), "s", "t", uint32(0)), message(tflush, 4, uint16(3))))

	f.Fuzz(func(t *testing.T, stream []byte) {
		spec, _ := export.Parse("data=mem:,squash=none")
		b := servingFS(t, spec, mem.New(mem.Options{Size: 1 << 20}), func(c *Config) { c.MaxFIDs, c.MaxXattrBytes = 16, 1<<17 })
		ch := b.NewChannel("fuzz", ChannelOptions{})
		defer ch.Close()
		do := func(msg []byte) []byte {
			out := make([]byte, 8192)
			n, err := answerOn(t.Context(), ch, [][]byte{msg}, [][]byte{out[:100], out[100:]})
			if err != nil {
				t.Fatal(err)
			}
			return out[:n]
		}
		for _, m := range [][]byte{
			message(tversion, 1, uint32(8192), dialect),
			message(tattach, 1, uint32(0), uint32(noFID), "", "data", uint32(0)),
			message(tmkdir, 1, uint32(0), "d", uint32(0o755), uint32(0)),
			message(twalk, 1, uint32(0), uint32(2), uint16(0)),
			message(tlcreate, 1, uint32(2), "f", uint32(oRdWr), uint32(0o644), uint32(0)),
			message(twalk, 1, uint32(0), uint32(1), uint16(1), "f"),
			message(twalk, 1, uint32(0), uint32(3), uint16(0)),
			message(tlopen, 1, uint32(3), uint32(0)),
		} {
			if reply := do(m); reply[4] == byte(rlerror) {
				t.Fatalf("setting up: errno %d", reply[7])
			}
		}
		for len(stream) >= headerSize {
			n := int(min(binary.LittleEndian.Uint32(stream), uint32(len(stream))))
			if n < headerSize {
				break
			}
			msg := stream[:n]
			stream = stream[n:]
			binary.LittleEndian.PutUint32(msg, uint32(n))
			if msg[4] == byte(tversion) || n > 4096 {
				continue // which may make msize smaller than what follows
			}
			if msg[4] == byte(tlock) && len(msg) > 12 {
				msg[12] &^= lockBlock // nobody would ever wake it
			}
			reply := do(msg)
			if size := binary.LittleEndian.Uint32(reply); int(size) != len(reply) {
				t.Fatalf("reply of %d bytes says it has %d", len(reply), size)
			}
			if reply[4] != byte(rlerror) && reply[4] != msg[4]+1 || [2]byte(reply[5:7]) != [2]byte(msg[5:7]) {
				t.Fatalf("type %d, tag %x is answered by type %d, tag %x", msg[4], msg[5:7], reply[4], reply[5:7])
			}
		}
	})
}

// FuzzDecoder takes values in an order that the input gives. What was taken
// was in the message.
func FuzzDecoder(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5}, message(twalk, 1, uint32(0), uint32(9), uint16(2), "d", ".."))
	f.Fuzz(func(t *testing.T, order, msg []byte) {
		d, left := decoder{buf: msg}, len(msg)
		for _, what := range order {
			switch what % 6 {
			case 0:
				d.uint8()
			case 1:
				d.uint16()
			case 2:
				d.uint32()
			case 3:
				d.uint64()
			case 4:
				if name, err := d.name(); err == nil && vfs.CheckName(name) != nil {
					t.Fatalf("name %q", name)
				}
			case 5:
				d.data()
			}
			if len(d.buf) > left {
				t.Fatal("the message has become longer")
			}
			left = len(d.buf)
		}
	})
}
