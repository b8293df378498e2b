package objects

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"sort"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/go-git/go-git/v5/plumbing"
)

// A version 2 index (gitformat-pack(5)): a header, the fan-out table, then the
// names, CRCs and offsets of all objects in the order of their names, offsets
// beyond 31 bits, and two checksums.
const (
	idLen      = 20
	idxNames   = 8 + 256*4
	idxTrailer = 2 * idLen
	idxPerItem = idLen + 4 + 4

	packHeader  = 12
	packTrailer = idLen
)

// pack is a pack with its index. Its files stay open until nobody uses them,
// also when git has removed them.
type pack struct {
	path      string // of the index
	users     atomic.Int64
	idx, data *os.File
	length    int64       // of data
	fanout    [256]uint32 // how many names begin with at most this byte
}

func openPack(idxPath string) (*pack, error) {
	idx, err := os.Open(idxPath)
	if err != nil {
		return nil, err
	}
	data, err := os.Open(strings.TrimSuffix(idxPath, ".idx") + ".pack")
	if err != nil {
		idx.Close()
		return nil, err
	}
	p := &pack{path: idxPath, idx: idx, data: data}
	p.users.Store(1) // the DB
	if err := p.readHeaders(); err != nil {
		p.drop()
		return nil, err
	}
	return p, nil
}

// hold keeps the files open until drop, unless they are closed already.
func (p *pack) hold() bool {
	for {
		n := p.users.Load()
		if n == 0 {
			return false
		}
		if p.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (p *pack) drop() {
	if p.users.Add(-1) == 0 {
		p.idx.Close()
		p.data.Close()
	}
}

func (p *pack) readHeaders() error {
	var head [idxNames]byte
	if _, err := p.idx.ReadAt(head[:], 0); err != nil {
		return fmt.Errorf("read the index: %w", err)
	}
	if !bytes.Equal(head[:8], []byte("\xfftOc\x00\x00\x00\x02")) {
		return fmt.Errorf("not an index of version 2; run git repack -ad")
	}
	last := uint32(0)
	for i := range p.fanout {
		n := binary.BigEndian.Uint32(head[8+4*i:])
		if n < last {
			return fmt.Errorf("%w: the index is not in order", ErrCorrupt)
		}
		p.fanout[i], last = n, n
	}
	idxStat, err := p.idx.Stat()
	if err != nil {
		return err
	}
	dataStat, err := p.data.Stat()
	if err != nil {
		return err
	}
	p.length = dataStat.Size()
	if idxStat.Size() < idxNames+int64(last)*idxPerItem+idxTrailer || p.length < packHeader+packTrailer {
		return fmt.Errorf("%w: the pack or its index is cut short", ErrCorrupt)
	}
	var begin [packHeader]byte
	if _, err := p.data.ReadAt(begin[:], 0); err != nil {
		return err
	}
	version := binary.BigEndian.Uint32(begin[4:])
	if string(begin[:4]) != "PACK" || version != 2 && version != 3 || binary.BigEndian.Uint32(begin[8:]) != last {
		return fmt.Errorf("%w: the pack is not what its index is of", ErrCorrupt)
	}
	return nil
}

// namesAtOnce is how many names a search reads at the end, when it has come near.
const namesAtOnce = 256

var namesBuffers = sync.Pool{New: func() any { return new([namesAtOnce * idLen]byte) }}

// find returns the offset of an object in the pack, or ErrNotFound.
func (p *pack) find(id plumbing.Hash) (int64, error) {
	buf := namesBuffers.Get().(*[namesAtOnce * idLen]byte)
	defer namesBuffers.Put(buf)
	i, err := p.lowerBound(id, buf)
	if err != nil {
		return 0, err
	}
	if i == p.fanout[id[0]] {
		return 0, ErrNotFound
	}
	if _, err := p.idx.ReadAt(buf[:idLen], idxNames+int64(i)*idLen); err != nil {
		return 0, err
	}
	if !bytes.Equal(buf[:idLen], id[:]) {
		return 0, ErrNotFound
	}
	return p.offset(i, buf[:8])
}

// lowerBound returns the number of the first name that is not less than id,
// among those that begin with the same byte.
func (p *pack) lowerBound(id plumbing.Hash, buf *[namesAtOnce * idLen]byte) (uint32, error) {
	lo, hi := uint32(0), p.fanout[id[0]]
	if id[0] > 0 {
		lo = p.fanout[id[0]-1]
	}
	for hi-lo > namesAtOnce {
		mid := lo + (hi-lo)/2
		if _, err := p.idx.ReadAt(buf[:idLen], idxNames+int64(mid)*idLen); err != nil {
			return 0, err
		}
		if bytes.Compare(buf[:idLen], id[:]) < 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	names := buf[:(hi-lo)*idLen]
	if _, err := p.idx.ReadAt(names, idxNames+int64(lo)*idLen); err != nil {
		return 0, err
	}
	return lo + uint32(sort.Search(int(hi-lo), func(i int) bool {
		return bytes.Compare(names[i*idLen:(i+1)*idLen], id[:]) >= 0
	})), nil
}

// offset returns where the i-th object of the index begins.
func (p *pack) offset(i uint32, buf []byte) (int64, error) {
	n := int64(p.fanout[255])
	if _, err := p.idx.ReadAt(buf[:4], idxNames+n*(idLen+4)+int64(i)*4); err != nil {
		return 0, err
	}
	off := uint64(binary.BigEndian.Uint32(buf))
	if off>>31 != 0 {
		at := idxNames + n*idxPerItem + int64(off&(1<<31-1))*8
		if _, err := p.idx.ReadAt(buf[:8], at); err != nil {
			return 0, err
		}
		off = binary.BigEndian.Uint64(buf)
	}
	if off < packHeader || off >= uint64(p.length-packTrailer) {
		return 0, fmt.Errorf("%w: an offset beyond the pack", ErrCorrupt)
	}
	return int64(off), nil
}

// entry is the header of what begins at an offset of a pack.
type entry struct {
	typ  plumbing.ObjectType
	size int64 // inflated: of the object or of the delta
	data int64 // where the deflated data begins
	base int64 // of a delta, where what it is a delta of begins
}

func (e *entry) delta() bool {
	return e.typ == plumbing.OFSDeltaObject || e.typ == plumbing.REFDeltaObject
}

// entryAt reads the header at off.
func (p *pack) entryAt(off int64) (entry, error) {
	var buf [10 + idLen]byte // size and base take 10 bytes at most each, a name 20
	n, err := p.data.ReadAt(buf[:min(int64(len(buf)), p.length-off)], off)
	if err != nil {
		return entry{}, err
	}
	c := cursor{rest: buf[:n]}
	first := c.byte()
	e := entry{typ: plumbing.ObjectType(first >> 4 & 7), size: int64(first & 15)}
	if first&0x80 != 0 {
		e.size |= c.varint() << 4
	}
	switch e.typ {
	case plumbing.CommitObject, plumbing.TreeObject, plumbing.BlobObject, plumbing.TagObject:
	case plumbing.OFSDeltaObject:
		e.base = off - c.distance()
	case plumbing.REFDeltaObject:
		var id plumbing.Hash
		copy(id[:], c.take(idLen))
		if c.bad {
			break
		}
		// A pack on disk has all that its deltas need.
		if e.base, err = p.find(id); err != nil {
			return entry{}, fmt.Errorf("%w: the base of a delta: %w", ErrCorrupt, err)
		}
	default:
		c.bad = true
	}
	// A base lies before its delta or, by name, anywhere: never at itself.
	if c.bad || e.size < 0 || e.delta() && (e.base < packHeader || e.base == off || e.base >= p.length) {
		return entry{}, fmt.Errorf("%w: no object at %d of a pack", ErrCorrupt, off)
	}
	e.data = off + int64(n-len(c.rest))
	return e, nil
}

// cursor takes apart what git packs into bytes. It never reads beyond the end:
// bad tells.
type cursor struct {
	rest []byte
	bad  bool
}

func (c *cursor) byte() byte {
	b := c.take(1)
	if c.bad {
		return 0
	}
	return b[0]
}

func (c *cursor) take(n int) []byte {
	if n > len(c.rest) {
		c.bad = true
		return nil
	}
	b := c.rest[:n]
	c.rest = c.rest[n:]
	return b
}

// varint is a number in groups of seven bits, least first.
func (c *cursor) varint() int64 {
	var n int64
	for shift := 0; ; shift += 7 {
		b := c.byte()
		if shift > 49 { // 56 bits are enough for any size, and leave room for four more
			c.bad = true
			return 0
		}
		n |= int64(b&0x7f) << shift
		if b&0x80 == 0 {
			return n
		}
	}
}

// distance is how far back the base of a delta lies: groups of seven bits, most
// first, each but the last one more than it says.
func (c *cursor) distance() int64 {
	b := c.byte()
	n := int64(b & 0x7f)
	for b&0x80 != 0 {
		if n >= 1<<48 {
			c.bad = true
			return 0
		}
		b = c.byte()
		n = (n+1)<<7 | int64(b&0x7f)
	}
	return n
}
