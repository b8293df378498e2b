package squashfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/fsva/fsva/vfs"
)

// made is an image of tables that mksquashfs would not write, in blocks of 4 KiB.
func made(inodes, directories []byte) []byte {
	p := make([]byte, superSize)
	copy(p, magic)
	le.PutUint32(p[12:], minBlockSize)
	le.PutUint16(p[20:], byGzip)
	le.PutUint16(p[22:], 12)
	le.PutUint16(p[26:], 1)
	le.PutUint16(p[28:], 4)
	for at, table := range map[int][]byte{64: inodes, 72: directories, 48: stored(make([]byte, 4))} {
		le.PutUint64(p[at:], uint64(len(p)))
		p = append(p, table...)
	}
	ids := le.Uint64(p[48:])
	le.PutUint64(p[48:], uint64(len(p)))
	p = le.AppendUint64(p, ids)
	le.PutUint64(p[56:], none)
	le.PutUint64(p[40:], uint64(len(p)))
	return p
}

// stored is metadata in blocks that are not packed.
func stored(data []byte) (blocks []byte) {
	for len(data) > 0 {
		n := min(len(data), metadataSize)
		blocks = append(le.AppendUint16(blocks, uint16(n)|notPackedMetadata), data[:n]...)
		data = data[n:]
	}
	return blocks
}

// reference is where a byte of what is stored is.
func reference(off int) uint64 {
	return uint64(off/metadataSize*(metadataSize+2))<<16 | uint64(off%metadataSize)
}

func head(kind vfs.FileType, more int, number uint32) []byte {
	p := make([]byte, 16)
	for i, k := range kinds {
		if k == kind {
			le.PutUint16(p, uint16(i+more))
		}
	}
	le.PutUint16(p[2:], 0o755)
	le.PutUint32(p[12:], number)
	return p
}

// directorySize is what the inode of a directory takes.
const directorySize = 40

// directoryInode is of a directory whose list is at a byte of those that are stored.
func directoryInode(number uint32, off, size int) []byte {
	p := append(head(vfs.TypeDirectory, extended, number), make([]byte, 24)...)
	at := reference(off)
	le.PutUint32(p[20:], uint32(size+listEnds))
	le.PutUint32(p[24:], uint32(at>>16))
	le.PutUint16(p[34:], uint16(at))
	le.PutUint32(p[36:], noXattrs)
	return p
}

// entry is one of a list, of an inode at a byte of those that are stored.
func entry(name string, off int) []byte {
	p, at := make([]byte, 20), reference(off)
	le.PutUint32(p[4:], uint32(at>>16))
	le.PutUint16(p[12:], uint16(at))
	le.PutUint16(p[18:], uint16(len(name)-1))
	return append(p, name...)
}

// sparse is an image with one file, of that many blocks that are all holes.
func sparse(t *testing.T, blocks, listed uint64) []byte {
	t.Helper()
	list := entry("file", directorySize)
	file := append(head(vfs.TypeRegular, extended, 2), make([]byte, 40)...)
	le.PutUint64(file[24:], blocks*minBlockSize)
	le.PutUint32(file[40:], 1)
	le.PutUint32(file[44:], noFragment)
	le.PutUint32(file[52:], noXattrs)
	data := append(directoryInode(1, 0, len(list)), file...)
	data = append(data, make([]byte, 4*listed)...)
	var inodes []byte
	var zeroes []byte // a packed block of them
	for len(data) > 0 {
		n := min(len(data), metadataSize)
		p := zeroes
		if p == nil || n < metadataSize {
			p = pack(t, byGzip, data[:n], 0)
		}
		if len(inodes) > 0 {
			zeroes = p
		}
		inodes = append(le.AppendUint16(inodes, uint16(len(p))), p...)
		data = data[n:]
	}
	return made(inodes, stored(list))
}

func openFile(t *testing.T, img []byte) (vfs.File, error) {
	t.Helper()
	fs, err := Open(bytes.NewReader(img), int64(len(img)), Options{Log: zerolog.Nop(), Closer: io.NopCloser(nil)})
	if err != nil {
		t.Fatal(err)
	}
	n, err := fs.Root().Lookup(t.Context(), vfs.Root, "file")
	if err != nil {
		t.Fatal(err)
	}
	return n.Open(t.Context(), vfs.Root, vfs.OpenRead)
}

// heap is how many bytes are in use.
func heap() uint64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

func TestAFileOfMoreBlocksThanCanBeIsEFBIG(t *testing.T) {
	if _, err := openFile(t, sparse(t, 1<<48, 1<<20)); vfs.ErrnoOf(err) != vfs.EFBIG {
		t.Errorf("got %v", err)
	}
}

// Zeroes pack well: a list of four million blocks is 50 KB of the image.
func TestBlocksOfAFileTakeLittleMemory(t *testing.T) {
	const blocks, most = 1 << 22, metadataRoom + 4<<20
	img := sparse(t, blocks, blocks)
	before := heap()
	f, err := openFile(t, img)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := make([]byte, 2*minBlockSize)
	if _, err := f.ReadAt(ctx, p, (blocks-1)*minBlockSize); !errors.Is(err, context.Canceled) {
		t.Errorf("a read that nobody waits for: %v", err)
	}
	if n, err := f.ReadAt(t.Context(), p, (blocks-1)*minBlockSize); n != minBlockSize || err != nil {
		t.Errorf("the last block has %d bytes, %v", n, err)
	}
	if at, err := f.(vfs.HoleSeeker).SeekData(t.Context(), 0); vfs.ErrnoOf(err) != vfs.ENXIO {
		t.Errorf("there is data at %d, %v", at, err)
	}
	if used := heap(); used > before+most {
		t.Errorf("a file of %d blocks takes %d bytes", blocks, used-before)
	}
	runtime.KeepAlive(f)
	runtime.KeepAlive(img)
}

func TestAListOfBlocksThatEndsTooEarlyIsEIO(t *testing.T) {
	f, err := openFile(t, sparse(t, 1<<20, 1<<19))
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, minBlockSize)
	if _, err := f.ReadAt(t.Context(), p, 0); err != nil {
		t.Error(err)
	}
	if _, err := f.ReadAt(t.Context(), p, (1<<20-1)*minBlockSize); vfs.ErrnoOf(err) != vfs.EIO {
		t.Errorf("got %v", err)
	}
	if _, err := f.(vfs.HoleSeeker).SeekData(t.Context(), 0); vfs.ErrnoOf(err) != vfs.EIO {
		t.Errorf("got %v", err)
	}
}

// watched is an image that looks now and then at how much memory is in use while
// it is read.
type watched struct {
	io.ReaderAt
	reads int
	most  uint64
}

func (w *watched) ReadAt(p []byte, off int64) (int, error) {
	if w.reads++; w.reads%1000 == 0 {
		w.most = max(w.most, heap())
	}
	return w.ReaderAt.ReadAt(p, off)
}

// Of a file with several names there is no path kept, which can be 64 KiB long.
func TestFilesWithSeveralNamesTakeLittleMemory(t *testing.T) {
	const deep, files, most = 200, 4000, 32 << 20
	var inodes, fifos, lists, last []byte
	for i := range files {
		fifo := le.AppendUint32(head(vfs.TypeFIFO, 0, uint32(1000+i)), 2)
		last = append(last, entry(fmt.Sprintf("%04d", i), (deep+1)*directorySize+len(fifos))...)
		fifos = append(fifos, fifo...)
	}
	for i := range deep {
		list := entry(strings.Repeat("d", vfs.MaxName), (i+1)*directorySize)
		inodes = append(inodes, directoryInode(uint32(i), len(lists), len(list))...)
		lists = append(lists, list...)
	}
	inodes = append(inodes, directoryInode(deep, len(lists), len(last))...)
	img := made(stored(append(inodes, fifos...)), stored(append(lists, last...)))
	before := heap()
	dev := &watched{ReaderAt: bytes.NewReader(img)}
	fs, err := Open(dev, int64(len(img)), Options{Log: zerolog.Nop(), Closer: io.NopCloser(nil)})
	if err != nil {
		t.Fatal(err)
	}
	if dev.most > before+most {
		t.Errorf("%d files take %d bytes while they are indexed", files, dev.most-before)
	}
	s, err := fs.StatFS(t.Context())
	if err != nil || s.TotalFiles != deep+files+1 {
		t.Errorf("there are %d files, %v", s.TotalFiles, err)
	}
}
