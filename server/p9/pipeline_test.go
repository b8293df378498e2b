package p9

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/rs/zerolog"

	"github.com/fsva/fsva/adapters/host"
	"github.com/fsva/fsva/vfs/export"
)

// servingDir serves a directory of this machine.
func servingDir(t testing.TB, change ...func(*Config)) (b *bench, dir string) {
	t.Helper()
	dir = t.TempDir()
	fs, err := host.Open(dir, host.Options{Exclusive: true, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	spec, err := export.Parse("data=host:" + dir + ",squash=none")
	if err != nil {
		t.Fatal(err)
	}
	return servingFS(t, spec, fs, change...), dir
}

// pattern is the content of a file that tells at each place where it is.
func pattern(n int) []byte {
	b := make([]byte, 0, n+8)
	for i := 0; len(b) < n; i++ {
		b = append(b, byte(i), byte(i>>8), byte(i>>16), 0xaa)
	}
	return b[:n]
}

// TestRequestsInAPipelineAreAllAnswered sends requests of every size without
// waiting for replies, with little room for those under way.
func TestRequestsInAPipelineAreAllAnswered(t *testing.T) {
	b, dir := servingDir(t, func(c *Config) { c.MaxInFlight = 3 })
	content := pattern(1 << 20)
	if err := os.WriteFile(filepath.Join(dir, "f"), content, 0o644); err != nil {
		t.Fatal(err)
	}
	c := b.attached(t, uint32(os.Geteuid()))
	r, w := c.open("f", 0), c.create("g", oRdWr, 0o644)
	type want struct {
		typ      msgType
		off, n   int
		answered bool
	}
	wants := make(map[uint16]*want)
	var stream []byte
	tag := c.tag
	add := func(w want, fields ...any) {
		tag++
		wants[tag] = &w
		stream = append(stream, message(w.typ, tag, fields...)...)
	}
	sizes := []int{0, 1, 100, 4096, sendfileMin - 1, sendfileMin, parallelIO, 300_000, 1<<20 - ioHeaderSize}
	for i := range 200 {
		n := sizes[i%len(sizes)]
		off := i * 4099 % len(content)
		add(want{typ: tgetattr}, r, uint64(getattrBasic))
		add(want{typ: tread, off: off, n: n}, r, uint64(off), uint32(n))
		if i%5 == 0 {
			data := content[off:min(off+n, len(content))]
			add(want{typ: twrite, n: len(data)}, w, uint64(off), uint32(len(data)), data)
			add(want{typ: tfsync}, w, uint32(1))
		}
	}
	sent := make(chan error, 1)
	go func() {
		_, err := c.nc.Write(stream)
		sent <- err
	}()
	for range len(wants) {
		typ, tag, d, err := c.receive()
		if err != nil {
			t.Fatal(err)
		}
		w := wants[tag]
		if w == nil || w.answered || typ != w.typ+1 {
			t.Fatalf("type %d for tag %d, which is %+v", typ, tag, w)
		}
		w.answered = true
		switch w.typ {
		case tread:
			if want := content[w.off:min(w.off+w.n, len(content))]; !bytes.Equal(d.data(), want) {
				t.Errorf("%d bytes at %d are not what the file has", w.n, w.off)
			}
		case twrite:
			if n := d.uint32(); int(n) != w.n {
				t.Errorf("%d bytes of %d were written", n, w.n)
			}
		}
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
}

// TestReadOfAFileThatBecomesShorter: what was promised is sent, with zeroes.
func TestReadOfAFileThatBecomesShorter(t *testing.T) {
	b, dir := servingDir(t)
	name := filepath.Join(dir, "f")
	if err := os.WriteFile(name, pattern(100_000), 0o644); err != nil {
		t.Fatal(err)
	}
	c := b.attached(t, uint32(os.Geteuid()))
	f := c.open("f", 0)
	for _, size := range []int64{100_000, 60_000, 40_000, 0} {
		if err := os.Truncate(name, size); err != nil {
			t.Fatal(err)
		}
		if got := c.read(f, 0, 60_000); !bytes.Equal([]byte(got), pattern(100_000)[:min(size, 60_000)]) {
			t.Errorf("of %d bytes %d were read, or they differ", size, len(got))
		}
	}
}

func TestPartOfAFileIsSentWholeThoughTheFileBecameShorter(t *testing.T) {
	b, dir := servingDir(t)
	name := filepath.Join(dir, "f")
	if err := os.WriteFile(name, pattern(100_000), 0o644); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	here, there := socketPair(t)
	defer here.Close()
	defer there.Close()
	c := newConn(b.Server, there)
	defer c.cancel()
	if err := file.Truncate(50_000); err != nil {
		t.Fatal(err)
	}
	part := filePart{file: unpinned{}, fd: int(file.Fd()), off: 10_000, n: 80_000}
	go c.sendFile([]byte("head"), &part)
	got := make([]byte, 4+80_000)
	for n := 0; n < len(got); {
		m, err := here.Read(got[n:])
		if err != nil {
			t.Fatal(err)
		}
		n += m
	}
	want := append([]byte("head"), pattern(50_000)[10_000:]...)
	if !bytes.Equal(got[:len(want)], want) || !bytes.Equal(got[len(want):], make([]byte, 40_000)) {
		t.Error("it is not the rest of the file and zeroes")
	}
}

type unpinned struct{}

func (unpinned) PinFD() (int, error) { panic("pinned already") }
func (unpinned) UnpinFD()            {}
