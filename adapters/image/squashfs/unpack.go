package squashfs

import (
	"bytes"
	"compress/zlib"
	"errors"
	"io"
	"slices"
	"sync"

	"github.com/anchore/go-lzo"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/therootcompany/xz"
	"github.com/ulikunitz/xz/lzma"

	"github.com/fsva/fsva/adapters/image/disk"
	"github.com/fsva/fsva/vfs"
)

// unpacker unpacks p into out and says how much that is. What does not fit is an
// error. It may be called from many goroutines at once.
type unpacker func(out, p []byte) (int, error)

var errTooLong = errors.New("there is more in it than a block has")

// The compressions by their numbers (squashfs_fs.h).
const (
	byGzip = iota + 1
	byLZMA
	byLZO
	byXZ
	byLZ4
	byZstd
)

// unpackerOf finds the unpacker of a compression.
func unpackerOf(compression uint16, blockSize uint32) (unpacker, error) {
	// How far back packed data refers takes memory, so no farther than blocks
	// are long: mksquashfs makes no other images, and the kernel reads none.
	back := max(blockSize, metadataSize)
	switch compression {
	case byGzip:
		return inflate, nil
	case byLZMA:
		return func(out, p []byte) (int, error) { return decodeLZMA(out, p, back) }, nil
	case byLZO:
		return func(out, p []byte) (int, error) { return lzo.Decompress(p, out) }, nil
	case byXZ:
		return xzUnpacker(back), nil
	case byLZ4:
		return func(out, p []byte) (int, error) { return lz4.UncompressBlock(p, out) }, nil
	case byZstd:
		return zstdUnpacker()
	}
	return nil, vfs.Errorf(vfs.EOPNOTSUPP, "it is packed by method %d, but only gzip, lzma, lzo, xz, lz4 and zstd are known; %s", compression, wayOut)
}

// wayOut is what to do with an image that cannot be unpacked here.
const wayOut = "mount the image and serve it as host:"

func inflate(out, p []byte) (int, error) {
	r, err := zlib.NewReader(bytes.NewReader(p))
	if err != nil {
		return 0, err
	}
	return fill(out, r)
}

func decodeLZMA(out, p []byte, back uint32) (int, error) {
	r, err := lzma.ReaderConfig{DictCap: int(back)}.NewReader(bytes.NewReader(p))
	if err != nil {
		return 0, err
	}
	return fill(out, r)
}

// xzUnpacker has decoders that refer back that far at most. They are kept from
// one block to the next.
func xzUnpacker(back uint32) unpacker {
	idle := sync.Pool{New: func() any {
		r, _ := xz.NewReader(nil, back) // nil is never an error
		return r
	}}
	return func(out, p []byte) (int, error) {
		r := idle.Get().(*xz.Reader)
		defer idle.Put(r)
		if err := r.Reset(bytes.NewReader(p)); err != nil {
			return 0, err
		}
		r.Multistream(false)
		return fill(out, r)
	}
}

func zstdUnpacker() (unpacker, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(4*maxBlockSize))
	if err != nil {
		return nil, err
	}
	return func(out, p []byte) (int, error) {
		got, err := d.DecodeAll(p, out[:0])
		if err == nil && len(got) > len(out) {
			err = errTooLong
		}
		return copy(out, got), err // it may have been moved
	}, nil
}

// fill reads all there is into out.
func fill(out []byte, r io.Reader) (int, error) {
	var more [1]byte
	for n := 0; ; {
		to := out[n:]
		if len(to) == 0 {
			to = more[:]
		}
		got, err := r.Read(to)
		switch {
		case got > len(out)-n:
			return 0, errTooLong
		case err == io.EOF:
			return n + got, nil
		case err != nil:
			return 0, err
		}
		n += got
	}
}

// unpacked unpacks p to at most limit bytes.
func (m *image) unpacked(p []byte, limit uint32) ([]byte, error) {
	out := make([]byte, limit)
	n, err := m.unpack(out, p)
	if err != nil {
		return nil, disk.Corrupt("a block of %d bytes cannot be unpacked: %v", len(p), err)
	}
	if n < len(out) {
		return slices.Clone(out[:n]), nil // what is kept takes no more than it counts
	}
	return out, nil
}

// What mksquashfs was told about a compression is behind the superblock, as a
// block of metadata, if a flag of it says so.
const (
	flagOptions = 1 << 10
	// lz4Legacy is the one form of LZ4 that there is.
	lz4Legacy = 1
	// xzFilters are those that are known, a bit each: x86, PowerPC, IA-64, ARM,
	// ARM Thumb and SPARC.
	xzFilters = 1<<6 - 1
)

// checkOptions refuses an image of which blocks could not be unpacked.
func (m *image) checkOptions(compression uint16) error {
	b, err := m.metadataAt(superSize)
	switch {
	case err != nil:
		return err
	case compression == byLZ4 && len(b.data) >= 4 && le.Uint32(b.data) != lz4Legacy:
		return vfs.Errorf(vfs.EOPNOTSUPP, "it is packed by lz4 in format %d, but only %d is known; %s", le.Uint32(b.data), lz4Legacy, wayOut)
	case compression == byXZ && len(b.data) >= 8 && le.Uint32(b.data[4:])&^xzFilters != 0:
		return vfs.Errorf(vfs.EOPNOTSUPP, "it is packed by xz with filters %#x (mksquashfs -Xbcj), but of these only x86, arm, armthumb, powerpc, sparc and ia64 are known; %s", le.Uint32(b.data[4:])&^xzFilters, wayOut)
	}
	return nil
}
