package p9

import (
	"bytes"
	"context"
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/fsva/fsva/server/p9/virtio"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/lock"
)

var _ virtio.Channel = (*Channel)(nil)

// pieces cuts memory into pieces of n bytes.
func pieces(b []byte, n int) (cut [][]byte) {
	for len(b) > n {
		cut = append(cut, b[:n:n])
		b = b[n:]
	}
	return append(cut, b)
}

// answerOn has a channel answer a request as a device does.
func answerOn(ctx context.Context, ch *Channel, in, out [][]byte) (int, error) {
	r, err := ch.Accept(in)
	if err != nil {
		return 0, err
	}
	defer r.Done()
	return r.Answer(ctx, out)
}

// exchange has a channel answer a request that lies in pieces of a few bytes,
// and returns type and body.
func exchange(t testing.TB, ch *Channel, room int, typ msgType, fields ...any) (msgType, decoder) {
	t.Helper()
	out := make([]byte, room)
	n, err := answerOn(context.Background(), ch, pieces(message(typ, 7, fields...), 3), pieces(out, 5))
	if err != nil {
		t.Fatal(err)
	}
	d := decoder{buf: out[:n]}
	if size := d.uint32(); int(size) != n {
		t.Fatalf("%d bytes were written, the reply says %d", n, size)
	}
	got := msgType(d.uint8())
	if tag := d.uint16(); tag != 7 {
		t.Fatalf("tag %d", tag)
	}
	return got, d
}

func attachChannel(t testing.TB, ch *Channel) {
	t.Helper()
	exchange(t, ch, 100, tversion, uint32(maxMsize), dialect)
	if typ, d := exchange(t, ch, 100, tattach, uint32(0), uint32(noFID), "", "", uint32(0)); typ != tattach+1 {
		t.Fatal(syscall.Errno(d.uint32()))
	}
}

func TestChannelReadsIntoTheMemoryOfTheGuest(t *testing.T) {
	b, dir := servingDir(t)
	content := bytes.Repeat([]byte("0123456789abcdef"), 4096)
	if err := os.WriteFile(filepath.Join(dir, "f"), content, 0o644); err != nil {
		t.Fatal(err)
	}
	ch := b.NewChannel("guest", ChannelOptions{Export: "data"})
	defer ch.Close()
	attachChannel(t, ch)
	exchange(t, ch, 100, twalk, uint32(0), uint32(1), uint16(1), "f")
	if typ, d := exchange(t, ch, 100, tlopen, uint32(1), uint32(0)); typ != tlopen+1 {
		t.Fatal(syscall.Errno(d.uint32()))
	}
	for _, tt := range []struct{ off, count, room int }{
		{0, len(content), len(content) + rreadSize},
		{100, 5000, 8192},
		{len(content) - 10, 5000, 8192}, // ends with the file
		{len(content) + 10, 5000, 8192},
		{0, 5000, 4500}, // more than there is room for
		{3, 100, 4096},  // small: copied
	} {
		typ, d := exchange(t, ch, tt.room, tread, uint32(1), uint64(tt.off), uint32(tt.count))
		if typ != tread+1 {
			t.Fatal(syscall.Errno(d.uint32()))
		}
		from := min(tt.off, len(content))
		want := content[from:min(from+tt.count, len(content), from+tt.room-rreadSize)]
		if got := d.data(); !bytes.Equal(got, want) {
			t.Errorf("%+v: %d bytes were read, want %d, or they differ", tt, len(got), len(want))
		}
	}
}

func TestChannelIsOfOneExport(t *testing.T) {
	b := serving(t, "")
	ch := b.NewChannel("guest", ChannelOptions{Export: "other"})
	defer ch.Close()
	exchange(t, ch, 100, tversion, uint32(maxMsize), dialect)
	for _, aname := range []string{"data", "", "/"} {
		if typ, d := exchange(t, ch, 100, tattach, uint32(0), uint32(noFID), "", aname, uint32(0)); typ != rlerror || d.uint32() != uint32(vfs.ENOENT) {
			t.Errorf("aname %q: type %d", aname, typ)
		}
	}
}

func TestChannelOffersNoLongerMessagesThanItIsTold(t *testing.T) {
	b, _ := servingDir(t)
	for _, tt := range []struct{ max, asked, want uint32 }{
		{0, maxMsize, maxMsize},
		{64 << 10, 512 << 10, 64 << 10},
		{64 << 10, 8 << 10, 8 << 10},
		{100, 8 << 10, minMsize}, // Linux takes no less
		{2 * maxMsize, 2 * maxMsize, maxMsize},
	} {
		ch := b.NewChannel("guest", ChannelOptions{MaxMessage: tt.max})
		if _, d := exchange(t, ch, 100, tversion, tt.asked, dialect); d.uint32() != tt.want {
			t.Errorf("at most %d, asked for %d: not %d", tt.max, tt.asked, tt.want)
		}
		ch.Close()
	}
}

func TestChannelComesFromTheAddressItIsGiven(t *testing.T) {
	b := serving(t, ",clients=10.77.0.20")
	for addr, want := range map[string]bool{"10.77.0.20": true, "10.77.0.21": false, "": false} {
		var opt ChannelOptions
		if addr != "" {
			opt.Addr = netip.MustParseAddr(addr)
		}
		ch := b.NewChannel("guest", opt)
		exchange(t, ch, 100, tversion, uint32(maxMsize), dialect)
		typ, d := exchange(t, ch, 100, tattach, uint32(0), uint32(noFID), "", "data", uint32(0))
		if admitted := typ == tattach+1; admitted != want || !want && d.uint32() != uint32(vfs.EACCES) {
			t.Errorf("a device at %q: answer of type %d", addr, typ)
		}
		ch.Close()
	}
}

func TestChannelRefusesWhatItCannotAnswer(t *testing.T) {
	b := serving(t, "")
	ch := b.NewChannel("guest", ChannelOptions{})
	defer ch.Close()
	attachChannel(t, ch)
	whole := message(tgetattr, 1, uint32(0), uint64(getattrBasic))
	huge := bytes.Clone(whole)
	binary.LittleEndian.PutUint32(huge, maxMsize+1)
	for name, tt := range map[string]struct {
		in   []byte
		room int
	}{
		"a request cut off":        {whole[:10], 1000},
		"half a size":              {whole[:3], 1000},
		"a request beyond msize":   {append(huge, make([]byte, maxMsize)...), 1000},
		"no room for any reply":    {whole, 10},
		"a size that is too small": {make([]byte, 100), 1000},
	} {
		if n, err := answerOn(t.Context(), ch, [][]byte{tt.in}, [][]byte{make([]byte, tt.room)}); err == nil {
			t.Errorf("%s is answered by %d bytes", name, n)
		}
	}
	if typ, d := exchange(t, ch, 50, tgetattr, uint32(0), uint64(getattrBasic)); typ != rlerror || d.uint32() != uint32(syscall.EMSGSIZE) {
		t.Errorf("without room for its reply, Tgetattr is answered by type %d", typ)
	}
}

func TestChannelGivesUpWaitsWhenTheDeviceStops(t *testing.T) {
	b := serving(t, "")
	ch := b.NewChannel("guest", ChannelOptions{})
	attachChannel(t, ch)
	lockOn(t, ch)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan uint32)
	go func() {
		out := make([]byte, 100)
		n, err := answerOn(ctx, ch, [][]byte{message(tlock, 1, lockFields(0, lockWrite, lockBlock, 0, 0, 2)...)}, [][]byte{out})
		if err != nil || n != rlerrorSize {
			t.Errorf("%d bytes, %v", n, err)
		}
		done <- binary.LittleEndian.Uint32(out[headerSize:])
	}()
	b.waitFor(t, lock.KindWait)
	stop()
	if errno := <-done; errno != uint32(syscall.EINTR) {
		t.Errorf("errno %d", errno)
	}
	ch.Close()
	if left := b.locks.Snapshot(); len(left) != 0 {
		t.Errorf("left after Close: %+v", left)
	}
}

func TestFlushOnAChannelWaitsForTheRequest(t *testing.T) {
	b := serving(t, "")
	ch := b.NewChannel("guest", ChannelOptions{})
	defer ch.Close()
	attachChannel(t, ch)
	lockOn(t, ch)
	answered := waitOn(t, b, ch)
	if typ, _ := exchange(t, ch, 100, tflush, uint16(1)); typ != tflush+1 {
		t.Errorf("type %d", typ)
	}
	<-answered
}

// The reply is not where the client finds it before Done.
func TestFlushOnAChannelWaitsUntilTheReplyIsWithTheClient(t *testing.T) {
	b := serving(t, "")
	ch := b.NewChannel("guest", ChannelOptions{})
	defer ch.Close()
	attachChannel(t, ch)
	r, err := ch.Accept([][]byte{message(tgetattr, 1, uint32(0), uint64(getattrBasic))})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Answer(t.Context(), [][]byte{make([]byte, 200)}); err != nil {
		t.Fatal(err)
	}
	var done atomic.Bool
	flushed := make(chan struct{})
	go func() {
		defer close(flushed)
		exchange(t, ch, 100, tflush, uint16(1))
		if !done.Load() {
			t.Error("Rflush comes before the reply")
		}
	}()
	for waiting := false; !waiting; { // for the reply, that is
		ch.session.mu.Lock()
		waiting = ch.session.tags[1].done != nil
		ch.session.mu.Unlock()
	}
	done.Store(true)
	r.Done()
	<-flushed
}

// A client may use a tag again as soon as it sees the reply, which is before the
// Done of the request.
func TestFlushFindsTheLatestRequestOfATag(t *testing.T) {
	b := serving(t, "")
	ch := b.NewChannel("guest", ChannelOptions{})
	defer ch.Close()
	attachChannel(t, ch)
	lockOn(t, ch)
	earlier, err := ch.Accept([][]byte{message(tgetattr, 1, uint32(0), uint64(getattrBasic))})
	if err != nil {
		t.Fatal(err)
	}
	answered := waitOn(t, b, ch)
	earlier.Done()
	exchange(t, ch, 100, tflush, uint16(1))
	<-answered
	if n := len(ch.session.tags); n != 0 {
		t.Errorf("%d requests are still under way", n)
	}
}

// lockOn makes fid 0 a file that is locked.
func lockOn(t testing.TB, ch *Channel) {
	t.Helper()
	exchange(t, ch, 100, tlcreate, uint32(0), "f", uint32(oRdWr), uint32(0o644), uint32(0))
	exchange(t, ch, 100, tlock, lockFields(0, lockWrite, 0, 0, 0, 1)...)
}

// waitOn has a request with the tag 1 wait for the lock, and returns what is
// closed when it was answered.
func waitOn(t *testing.T, b *bench, ch *Channel) (answered chan struct{}) {
	t.Helper()
	answered = make(chan struct{})
	go func() {
		defer close(answered)
		answerOn(t.Context(), ch, [][]byte{message(tlock, 1, lockFields(0, lockWrite, lockBlock, 0, 0, 2)...)}, [][]byte{make([]byte, 100)})
	}()
	b.waitFor(t, lock.KindWait)
	return answered
}
