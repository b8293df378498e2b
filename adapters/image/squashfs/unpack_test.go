package squashfs

import (
	"bytes"
	"compress/zlib"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"
	"github.com/ulikunitz/xz/lzma"
)

func written(t testing.TB, data []byte, w io.WriteCloser, err error) {
	t.Helper()
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// pack packs data by a compression, which may refer back that far.
func pack(t testing.TB, compression uint16, data []byte, back int) []byte {
	t.Helper()
	var b bytes.Buffer
	switch compression {
	case byGzip:
		written(t, data, zlib.NewWriter(&b), nil)
	case byLZMA:
		w, err := lzma.WriterConfig{DictCap: back, Size: int64(len(data)), SizeInHeader: true}.NewWriter(&b)
		written(t, data, w, err)
	case byLZO:
		return packLZO(data)
	case byXZ:
		w, err := xz.WriterConfig{DictCap: back, CheckSum: xz.CRC32}.NewWriter(&b)
		written(t, data, w, err)
	case byLZ4:
		p := make([]byte, lz4.CompressBlockBound(len(data)))
		n, err := lz4.CompressBlock(data, p, nil)
		if err != nil || n == 0 {
			t.Fatalf("lz4: %d bytes, %v", n, err)
		}
		return p[:n]
	case byZstd:
		w, err := zstd.NewWriter(&b)
		written(t, data, w, err)
	}
	return b.Bytes()
}

// packLZO says data as it is, and then that it ends: there is no packer for Go.
func packLZO(data []byte) []byte {
	p := []byte{0} // a run of 18 and more
	for n := len(data) - 18; ; n -= 255 {
		if n <= 255 {
			p = append(p, byte(n))
			break
		}
		p = append(p, 0)
	}
	return append(append(p, data...), 0x11, 0, 0)
}

var all = map[string]uint16{"gzip": byGzip, "lzma": byLZMA, "lzo": byLZO, "xz": byXZ, "lz4": byLZ4, "zstd": byZstd}

func mustUnpackerOf(t testing.TB, compression uint16, blockSize uint32) unpacker {
	t.Helper()
	u, err := unpackerOf(compression, blockSize)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestBlocksUnpackToNoMoreThanABlock(t *testing.T) {
	data := []byte(strings.Repeat("0123456789", 900))
	for name, compression := range all {
		p, u := pack(t, compression, data, 8192), mustUnpackerOf(t, compression, 4096)
		for _, room := range []int{len(data), len(data) + 1, 2 * len(data)} {
			out := make([]byte, room)
			if n, err := u(out, p); err != nil || !bytes.Equal(out[:n], data) {
				t.Errorf("%s: %d bytes, %v, in the room for %d", name, n, err, room)
			}
		}
		for _, room := range []int{len(data) - 1, 100, 0} {
			if n, err := u(make([]byte, room), p); err == nil {
				t.Errorf("%s: %d bytes in the room for %d", name, n, room)
			}
		}
		for _, cut := range []int{0, 1, len(p) / 2, len(p) - 1} {
			if n, err := u(make([]byte, len(data)), p[:cut]); err == nil && n == len(data) {
				t.Errorf("%s: %d of %d packed bytes are all", name, cut, len(p))
			}
		}
	}
}

func TestBlocksThatReferFarBackAreRefused(t *testing.T) {
	data := []byte(strings.Repeat("0123456789", 50))
	for _, name := range []string{"lzma", "xz"} {
		u := mustUnpackerOf(t, all[name], 128<<10)
		if _, err := u(make([]byte, 1000), pack(t, all[name], data, 128<<10)); err != nil {
			t.Errorf("%s as far as a block: %v", name, err)
		}
		if _, err := u(make([]byte, 1000), pack(t, all[name], data, 64<<20)); err == nil {
			t.Errorf("%s takes as much memory as a block asks for", name)
		}
	}
}

// What is unpacked stays within the room for it, and is never waited for.
func FuzzUnpack(f *testing.F) {
	data := []byte(strings.Repeat("0123456789abcdef", 200))
	for _, compression := range all {
		f.Add(compression, pack(f, compression, data, 8192))
		f.Add(compression, pack(f, compression, data[:20], 8192))
	}
	unpackers := map[uint16]unpacker{}
	for _, compression := range all {
		unpackers[compression] = mustUnpackerOf(f, compression, 8192)
	}
	f.Fuzz(func(t *testing.T, compression uint16, p []byte) {
		u := unpackers[compression]
		if u == nil {
			return
		}
		around := bytes.Repeat([]byte{0xa5}, 3*8192)
		out := around[8192 : 2*8192 : 2*8192]
		n, err := u(out, p)
		if err == nil && (n < 0 || n > len(out)) {
			t.Errorf("%d bytes of %d", n, len(out))
		}
		for i, c := range around {
			if c != 0xa5 && (i < 8192 || i >= 2*8192) {
				t.Fatalf("byte %d is written to", i-8192)
			}
		}
	})
}
