package squashfs

import (
	"bytes"
	"compress/zlib"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/fsva/fsva/adapters/image/disk"
	"github.com/fsva/fsva/vfs"
)

// unpacker unpacks p to at most limit bytes. It may be called from many goroutines
// at once.
type unpacker func(p []byte, limit int) ([]byte, error)

// compressions are the names of those that are there (squashfs_fs.h).
var compressions = map[uint16]string{2: "lzma", 3: "lzo", 4: "xz", 5: "lz4"}

func unpackerOf(compression uint16) (unpacker, error) {
	switch compression {
	case 1:
		return inflate, nil
	case 6:
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(4*maxBlockSize))
		if err != nil {
			return nil, err
		}
		return func(p []byte, limit int) ([]byte, error) { return decode(d, p, limit) }, nil
	}
	name := compressions[compression]
	if name == "" {
		name = "an unknown method"
	}
	return nil, vfs.Errorf(vfs.EOPNOTSUPP, "it is packed by %s, but only gzip and zstd can be read; mount the image and serve it as host:", name)
}

func inflate(p []byte, limit int) ([]byte, error) {
	r, err := zlib.NewReader(bytes.NewReader(p))
	if err != nil {
		return nil, disk.Corrupt("a block: %v", err)
	}
	var out bytes.Buffer
	if n, err := io.Copy(&out, io.LimitReader(r, int64(limit)+1)); err != nil || n > int64(limit) {
		return nil, disk.Corrupt("a block that unpacks to %d bytes or more: %v", n, err)
	}
	return out.Bytes(), nil
}

func decode(d *zstd.Decoder, p []byte, limit int) ([]byte, error) {
	out, err := d.DecodeAll(p, make([]byte, 0, limit))
	if err != nil || len(out) > limit {
		return nil, disk.Corrupt("a block that unpacks to %d bytes: %v", len(out), err)
	}
	return out, nil
}
