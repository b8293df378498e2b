package unpack

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/fsva/fsva/vfs"
)

// some is data of all kinds: random, text that repeats, runs.
func some(size int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	data := make([]byte, 0, size)
	for len(data) < size {
		switch n := 1 + r.IntN(50_000); r.IntN(3) {
		case 0:
			for range n {
				data = append(data, byte(r.Uint32()))
			}
		case 1:
			for range n / 8 {
				data = append(data, "the quick brown fox jumps"[r.IntN(20):][:5]...)
			}
		default:
			data = append(data, bytes.Repeat([]byte{byte(n)}, n)...)
		}
	}
	return data[:size]
}

func deflated(t testing.TB, data []byte, level int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err == nil {
		_, err = w.Write(data)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zipped(t testing.TB, members ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, m := range members {
		w := gzip.NewWriter(&b)
		w.Name, w.Comment, w.Extra = "name", "comment", []byte("extra")
		if _, err := w.Write(m); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

var levels = []int{flate.HuffmanOnly, flate.NoCompression, flate.BestSpeed, flate.DefaultCompression, flate.BestCompression}

func sumOf(data []byte) Sum { return Sum{crc32.ChecksumIEEE(data), int64(len(data))} }

func TestInflateGivesWhatWasDeflated(t *testing.T) {
	for _, size := range []int{0, 1, 100, 32 << 10, 3 << 20} {
		data := some(size)
		for _, level := range levels {
			c := deflated(t, data, level)
			f, err := newInflater(bytes.NewReader(c), int64(len(c)), false, sumOf(data), nil)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(iotest.HalfReader(f))
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes at level %d: %d bytes, %v", size, level, len(got), err)
			}
		}
	}
}

// Every point that is made, at any place of the output, is one to start at.
func TestADecoderStartsAtAnyPoint(t *testing.T) {
	data := some(1 << 20)
	for _, level := range levels {
		c := deflated(t, data, level)
		start := func(p *Point) (decoder, error) {
			return newInflater(bytes.NewReader(c), int64(len(c)), false, sumOf(data), p)
		}
		d, err := start(nil)
		if err != nil {
			t.Fatal(err)
		}
		for p := make([]byte, 9999); ; {
			if _, err := io.ReadFull(d, p); err != nil {
				break
			}
			from, ok := d.Mark()
			if !ok {
				continue
			}
			again, err := start(&from)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(again); err != nil || !bytes.Equal(got, data[from.Out:]) {
				t.Fatalf("level %d: from %d there are %d bytes, %v", level, from.Out, len(got), err)
			}
		}
	}
}

func TestStreamsReadAnywhere(t *testing.T) {
	data := some(6 << 20)
	c, z := deflated(t, data, 6), zipped(t, data[:1<<20], nil, data[1<<20:5<<20], data[5<<20:])
	z = append(z, make([]byte, 1000)...) // as on tapes
	for name, s := range map[string]*Stream{
		"deflate":            Deflate(bytes.NewReader(c), int64(len(c)), sumOf(data), Options{Cache: NewCache(1 << 20), Points: 8, Decoders: 2}),
		"gzip":               Gzip(bytes.NewReader(z), int64(len(z)), nil, Options{Cache: NewCache(1 << 20), Points: 8, Decoders: 2}),
		"without any memory": Deflate(bytes.NewReader(c), int64(len(c)), sumOf(data), Options{Cache: NewCache(1)}),
	} {
		r := rand.New(rand.NewPCG(3, 4))
		for range 20 {
			off := r.IntN(len(data))
			p := make([]byte, 1+r.IntN(300_000))
			want := data[off:min(len(data), off+len(p))]
			n, err := s.ReadAt(t.Context(), p, int64(off))
			if !bytes.Equal(p[:n], want) || (err == nil) != (n == len(p)) || err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("%s: %d bytes at %d give %d, %v", name, len(p), off, n, err)
			}
		}
		if n := len(s.Points()); n > 8 || name == "gzip" && n < 3 {
			t.Errorf("%s has %d points", name, n)
		}
	}
}

func TestPointsOfAnEarlierStreamServeALaterOne(t *testing.T) {
	data := some(4 << 20)
	z := zipped(t, data)
	first := Gzip(bytes.NewReader(z), int64(len(z)), nil, Options{Cache: NewCache(1 << 20), Points: 16, Decoders: 1})
	p := make([]byte, len(data))
	if _, err := first.ReadAt(t.Context(), p, 0); err != nil {
		t.Fatal(err)
	}
	points := first.Points()
	points = points[:len(points)/2]
	last := points[len(points)-1]
	// The later one must not read what comes before the point.
	src := lateReader{bytes.NewReader(z), last.Block / 8}
	second := Gzip(src, int64(len(z)), points, Options{Cache: NewCache(1 << 20), Points: 16})
	off := roundUp(last.Out)
	if n, err := second.ReadAt(t.Context(), p[:1000], off); err != nil || !bytes.Equal(p[:n], data[off:off+1000]) {
		t.Errorf("%d bytes, %v", n, err)
	}
}

type lateReader struct {
	io.ReaderAt
	from int64
}

func (l lateReader) ReadAt(p []byte, off int64) (int, error) {
	if off < l.from {
		return 0, errors.New("read too early")
	}
	return l.ReaderAt.ReadAt(p, off)
}

// counted says how much was read of it.
type counted struct {
	io.ReaderAt
	read int64
}

func (c *counted) ReadAt(p []byte, off int64) (int, error) {
	c.read += int64(len(p))
	return c.ReaderAt.ReadAt(p, off)
}

func TestReadsFromTheEndToTheStartDoNotUnpackAllBeforeEach(t *testing.T) {
	data := some(16 << 20)
	c := deflated(t, data, 1)
	src := &counted{ReaderAt: bytes.NewReader(c)}
	s := Deflate(src, int64(len(c)), sumOf(data), Options{Cache: NewCache(chunkSize), Points: 64, Decoders: 1})
	p, reads := make([]byte, 4096), int64(0)
	for off := int64(len(data) - len(p)); off > 0; off -= 1 << 18 {
		if _, err := s.ReadAt(t.Context(), p, off); err != nil || !bytes.Equal(p, data[off:off+int64(len(p))]) {
			t.Fatalf("at %d: %v", off, err)
		}
		reads++
	}
	// Each from the start would be half of the input on average.
	if most := int64(len(c)) * reads / 8; src.read > most {
		t.Errorf("%d reads took %d bytes of %d; %d would do", reads, src.read, len(c), most)
	}
}

func TestDataThatIsNotWhatItShouldBeFails(t *testing.T) {
	data := some(200_000)
	c, z := deflated(t, data, 6), zipped(t, data)
	flipped := slices.Clone(z)
	flipped[len(z)/2] ^= 4
	open := func(src []byte, gzip bool, want Sum) *Stream {
		opt := Options{Cache: NewCache(1 << 20), Points: 4, Decoders: 1}
		if gzip {
			return Gzip(bytes.NewReader(src), int64(len(src)), nil, opt)
		}
		return Deflate(bytes.NewReader(src), int64(len(src)), want, opt)
	}
	for name, s := range map[string]*Stream{
		"another checksum":  open(c, false, Sum{1, int64(len(data))}),
		"another size":      open(c, false, Sum{sumOf(data).CRC, int64(len(data)) + 1}),
		"deflate cut short": open(c[:len(c)-9], false, sumOf(data)),
		"gzip cut short":    open(z[:len(z)-9], true, Sum{}),
		"no trailer":        open(z[:len(z)-3], true, Sum{}),
		"a bit is flipped":  open(flipped, true, Sum{}),
		"what follows":      open(append(slices.Clone(z), "garbage"...), true, Sum{}),
		"no gzip":           open([]byte("this is no gzip at all"), true, Sum{}),
		"nothing":           open(nil, true, Sum{}),
	} {
		_, err := s.ReadAt(t.Context(), make([]byte, len(data)), 0)
		if vfs.ErrnoOf(err) != vfs.EIO {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUnpackingEndsWithTheCall(t *testing.T) {
	bomb := deflated(t, make([]byte, 64<<20), 9)
	s := Deflate(bytes.NewReader(bomb), int64(len(bomb)), Sum{}, Options{Cache: NewCache(1), Points: 4, Decoders: 1})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.ReadAt(ctx, make([]byte, 1), 63<<20); vfs.ErrnoOf(err) != vfs.EAGAIN {
		t.Errorf("got %v", err)
	}
}

// What compress/flate unpacks, inflate unpacks to the same, and what one of them
// refuses the other refuses.
func FuzzInflateAgainstTheStandardLibrary(f *testing.F) {
	data := []byte(strings.Repeat("some text that repeats; ", 40))
	for _, level := range levels {
		f.Add(deflated(f, data, level))
	}
	f.Fuzz(func(t *testing.T, c []byte) {
		const limit = 1 << 20
		want, wantErr := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(c)), limit))
		inf, err := newInflater(bytes.NewReader(c), int64(len(c)), false, sumOf(want), nil)
		if err != nil {
			t.Fatal(err)
		}
		got, gotErr := io.ReadAll(io.LimitReader(inf, limit))
		if (gotErr == nil) != (wantErr == nil) {
			t.Fatalf("%v, but the library has %v", gotErr, wantErr)
		}
		if gotErr == nil && !bytes.Equal(got, want) {
			t.Fatalf("%d bytes differ from the library's %d", len(got), len(want))
		}
	})
}

func FuzzGzip(f *testing.F) {
	f.Add(zipped(f, []byte("one"), nil, []byte("two")))
	f.Fuzz(func(t *testing.T, z []byte) {
		s := Gzip(bytes.NewReader(z), int64(len(z)), nil, Options{Cache: NewCache(1 << 20), Points: 2, Decoders: 1})
		p := make([]byte, 1<<18)
		n, err := s.ReadAt(t.Context(), p, 0)
		r, wantErr := gzip.NewReader(bytes.NewReader(z))
		if wantErr != nil || err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return
		}
		want, _ := io.ReadAll(io.LimitReader(r, int64(len(p))))
		if m := min(n, len(want)); !bytes.Equal(p[:m], want[:m]) {
			t.Fatalf("%q, but the library has %q", p[:m], want[:m])
		}
	})
}

func BenchmarkInflate(b *testing.B) {
	data := some(8 << 20)
	c := deflated(b, data, 6)
	b.Run("unpack", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			f, _ := newInflater(bytes.NewReader(c), int64(len(c)), false, sumOf(data), nil)
			if _, err := io.Copy(io.Discard, f); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("library", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			if _, err := io.Copy(io.Discard, flate.NewReader(bytes.NewReader(c))); err != nil {
				b.Fatal(err)
			}
		}
	})
}
