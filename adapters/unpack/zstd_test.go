package unpack

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/fsva/fsva/vfs"
)

// framed packs data in frames of some size.
func framed(t testing.TB, data []byte, size int, opts ...zstd.EOption) []byte {
	t.Helper()
	enc, err := zstd.NewWriter(nil, opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	var all []byte
	for piece := range slices.Chunk(data, size) {
		all = enc.EncodeAll(piece, all)
		all = append(all, skippable("seek table")...)
	}
	return all
}

// skippable is a frame to be skipped (RFC 8878 §3.1.2).
func skippable(text string) []byte {
	head := binary.LittleEndian.AppendUint32([]byte{0x5e, 0x2a, 0x4d, 0x18}, uint32(len(text)))
	return append(head, text...)
}

// streamed packs data in one frame whose header does not tell the size.
func streamed(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b)
	if err == nil {
		_, err = w.Write(data)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func openZstd(src io.ReaderAt, size int) *Stream {
	return Zstd(src, int64(size), nil, Options{Cache: NewCache(2 * chunkSize), Points: 8, Distance: chunkSize, Decoders: 1})
}

func TestZstandardIsReadAtAnyOffset(t *testing.T) {
	data := some(3 << 20)
	for name, z := range map[string][]byte{
		"frames of 100 KB": framed(t, data, 100_000),
		"small frames":     framed(t, data, 700),
		"no checksums":     framed(t, data, 1<<20, zstd.WithEncoderCRC(false)),
		"one frame":        streamed(t, data),
		"empty frames":     slices.Concat(streamed(t, nil), skippable(""), streamed(t, data), streamed(t, nil)),
	} {
		s := openZstd(bytes.NewReader(z), len(z))
		for _, off := range []int{0, len(data) - 10, 1_000_000, 999_000, 2_500_000, 64 << 10, 5, len(data) - 300_000} {
			p := make([]byte, min(200_000, len(data)-off))
			if n, err := s.ReadAt(t.Context(), p, int64(off)); err != nil || !bytes.Equal(p, data[off:][:n]) {
				t.Errorf("%s: %d bytes at %d, %v", name, n, off, err)
			}
		}
		if n, err := s.ReadAt(t.Context(), make([]byte, 11), int64(len(data)-10)); n != 10 || err != io.ErrUnexpectedEOF {
			t.Errorf("%s: across the end: %d, %v", name, n, err)
		}
	}
}

// Reading backwards must not unpack everything each time.
func TestZstandardIsReadBackwardsFrameByFrame(t *testing.T) {
	data := some(4 << 20)
	z := framed(t, data, 64<<10)
	src := &counted{ReaderAt: bytes.NewReader(z)}
	s := Zstd(src, int64(len(z)), nil, Options{Cache: NewCache(1), Points: 100, Distance: chunkSize})
	reads := int64(0)
	for off := len(data) - 100; off > 0; off -= 64 << 10 {
		p := make([]byte, 50)
		if _, err := s.ReadAt(t.Context(), p, int64(off)); err != nil || !bytes.Equal(p, data[off:][:50]) {
			t.Fatalf("at %d: %v", off, err)
		}
		reads++
	}
	if most := int64(len(z)) * reads / 8; src.read > most {
		t.Errorf("%d reads took %d bytes of %d; %d would do", reads, src.read, len(z), most)
	}
	again := Zstd(src, int64(len(z)), s.Points(), Options{Cache: NewCache(1), Points: 100, Distance: chunkSize})
	src.read = 0
	p := make([]byte, 50)
	if _, err := again.ReadAt(t.Context(), p, 4_000_000); err != nil || !bytes.Equal(p, data[4_000_000:][:50]) || src.read > int64(len(z))/8 {
		t.Errorf("with the points of another: %v, %d bytes read", err, src.read)
	}
}

func TestASurveyBoundsWhatFramesHold(t *testing.T) {
	data := some(1 << 20)
	zeroes := make([]byte, 64<<20)
	for name, test := range map[string]struct {
		z      []byte
		frames int
		atMost int64
		atBest int64
	}{
		"nothing":       {nil, 0, 0, 0},
		"only skipped":  {skippable("x"), 0, 0, 0},
		"many":          {framed(t, data, 100_000), 11, 100_000, 100_000},
		"not said":      {streamed(t, data), 1, 2 << 20, 1 << 20},
		"a bomb":        {streamed(t, zeroes), 1, 80 << 20, 64 << 20},
		"a bomb, known": {framed(t, zeroes, len(zeroes)), 1, 64 << 20, 64 << 20},
	} {
		got, err := SurveyZstd(t.Context(), bytes.NewReader(test.z), int64(len(test.z)))
		if err != nil || got.Frames != test.frames || got.Largest > test.atMost || got.Largest < test.atBest {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestZstandardThatIsNotWholeFails(t *testing.T) {
	data := some(300_000)
	z := framed(t, data, 100_000)
	flipped := slices.Clone(z)
	flipped[len(z)/2] ^= 4
	far := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 18 << 3, 1, 0, 0} // a window of 2^28
	dict := []byte{0x28, 0xb5, 0x2f, 0xfd, 1, 0, 7, 1, 0, 0}
	for name, test := range map[string]struct {
		z   []byte
		why string // of the survey, which need not see it
	}{
		"cut short":          {z[:len(z)-30], "EOF"},
		"a checksum missing": {z[:len(z)-len(skippable("seek table"))-2], "EOF"},
		"a skipped one cut":  {z[:len(z)-1], "EOF"},
		"what follows":       {append(slices.Clone(z), "garbage that follows"...), "not Zstandard"},
		"a window too wide":  {far, "memory"},
		"a dictionary":       {dict, "dictionary 7"},
		"a bit is flipped":   {flipped, ""},
	} {
		_, err := SurveyZstd(t.Context(), bytes.NewReader(test.z), int64(len(test.z)))
		if test.why != "" && (err == nil || !strings.Contains(err.Error(), test.why)) {
			t.Errorf("%s: the survey says %v", name, err)
		}
		if _, err := openZstd(bytes.NewReader(test.z), len(test.z)).ReadAt(t.Context(), make([]byte, len(data)+1), 0); vfs.ErrnoOf(err) != vfs.EIO || err == io.ErrUnexpectedEOF {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestASurveyEndsWithTheCall(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	z := framed(t, some(1000), 100)
	if _, err := SurveyZstd(ctx, bytes.NewReader(z), int64(len(z))); vfs.ErrnoOf(err) != vfs.EAGAIN {
		t.Errorf("got %v", err)
	}
}

// What the frames are said to hold is never less than what they do, and what is
// unpacked by frames is what the library unpacks as a whole.
func FuzzZstd(f *testing.F) {
	data := []byte(strings.Repeat("some text that repeats; ", 40))
	f.Add(framed(f, data, 100))
	f.Add(streamed(f, data))
	f.Fuzz(func(t *testing.T, z []byte) {
		const limit = 1 << 20
		survey, err := SurveyZstd(t.Context(), bytes.NewReader(z), int64(len(z)))
		if err != nil {
			return
		}
		p := make([]byte, limit)
		n, err := openZstd(bytes.NewReader(z), len(z)).ReadAt(t.Context(), p, 0)
		if int64(n) > survey.Largest*int64(survey.Frames) {
			t.Fatalf("%d bytes in %+v", n, survey)
		}
		if err != nil && err != io.ErrUnexpectedEOF {
			return
		}
		dec, err := zstd.NewReader(bytes.NewReader(z), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(MaxZstdWindow))
		if err != nil {
			t.Fatal(err)
		}
		defer dec.Close()
		want, _ := io.ReadAll(io.LimitReader(dec, limit))
		if !bytes.Equal(p[:n], want) {
			t.Fatalf("%d bytes differ from the library's %d", n, len(want))
		}
	})
}
