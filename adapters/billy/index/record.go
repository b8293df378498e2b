package index

import (
	"encoding/binary"
	"fmt"

	"github.com/fsva/fsva/vfs"
)

// Record is what the table knows of a node.
type Record struct {
	Ino uint64 // not stored: it is the key
	Tag uint64 // random
	// Own is the number that the file system itself has for the node, 0 if
	// it has none.
	Own  uint64
	Type vfs.FileType
	// Removed says that the node has lost its last name while it was open.
	Removed bool
	// Seen is the day, counted from 1970, on which somebody last named the
	// node.
	Seen uint32

	// Kept names the attributes of which the following are the truth; the
	// others are the file system's. Of AttrTimes there are three.
	Kept         vfs.AttrMask
	Mode         uint32
	UID, GID     uint32
	Atime        vfs.Timespec // with KeptAtime
	Mtime        vfs.Timespec // with KeptMtime, until the file system's own is after MtimeBase
	MtimeBase    vfs.Timespec
	Ctime, Btime vfs.Timespec // zero if unknown

	// Change is the change attribute as it was last told. State is what the
	// file system showed then of the node's data, so that changes that come
	// from elsewhere are noticed; 0 after a change from here, until it is
	// looked at again.
	Change, State uint64

	// Names are where the node is found: one but for hard links, none once
	// it is removed.
	Names []Name
}

// Name is an entry of a directory.
type Name struct {
	Dir  uint64
	Name string
}

// Bits of Kept for single times.
const (
	KeptAtime vfs.AttrMask = 1 << (iota + 24)
	KeptMtime
)

// Bare reports that of the node's attributes the table knows none that was set:
// only, perhaps, when the node was last changed.
func (r *Record) Bare() bool {
	return r.Kept&^KeptMtime == 0 && (r.Kept == 0 || r.Mtime == r.MtimeBase)
}

// Entry is what a name leads to. Cookies come from the same sequence as
// numbers: a name that is new to a directory comes behind all others.
type Entry struct {
	Ino, Cookie uint64
	// Since is what must be committed before anybody may learn of it.
	Since uint64
}

func (e Entry) encode() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, e.Ino), e.Cookie)
}

func decodeEntry(b []byte) (Entry, error) {
	if len(b) != 16 {
		return Entry{}, fmt.Errorf("index of a file system: an entry of %d bytes", len(b))
	}
	return Entry{Ino: binary.BigEndian.Uint64(b), Cookie: binary.BigEndian.Uint64(b[8:])}, nil
}

// recordHead is the length of a record without its names.
const recordHead = 8 + 8 + 1 + 1 + 4 + 4 + 4 + 4 + 4 + 5*12 + 8 + 8

func (r *Record) encode() []byte {
	b := make([]byte, 0, recordHead+16)
	b = binary.BigEndian.AppendUint64(b, r.Tag)
	b = binary.BigEndian.AppendUint64(b, r.Own)
	var removed byte
	if r.Removed {
		removed = 1
	}
	b = append(b, byte(r.Type), removed)
	b = binary.BigEndian.AppendUint32(b, r.Seen)
	b = binary.BigEndian.AppendUint32(b, uint32(r.Kept))
	b = binary.BigEndian.AppendUint32(b, r.Mode)
	b = binary.BigEndian.AppendUint32(b, r.UID)
	b = binary.BigEndian.AppendUint32(b, r.GID)
	for _, t := range []vfs.Timespec{r.Atime, r.Mtime, r.MtimeBase, r.Ctime, r.Btime} {
		b = binary.BigEndian.AppendUint64(b, uint64(t.Sec))
		b = binary.BigEndian.AppendUint32(b, t.Nsec)
	}
	b = binary.BigEndian.AppendUint64(b, r.Change)
	b = binary.BigEndian.AppendUint64(b, r.State)
	for _, n := range r.Names {
		b = binary.BigEndian.AppendUint64(b, n.Dir)
		b = binary.BigEndian.AppendUint16(b, uint16(len(n.Name)))
		b = append(b, n.Name...)
	}
	return b
}

func decodeRecord(ino uint64, b []byte) (*Record, error) {
	d := decoder{b: b}
	r := &Record{Ino: ino, Tag: d.u64(), Own: d.u64(), Type: vfs.FileType(d.u8()), Removed: d.u8() != 0, Seen: d.u32(),
		Kept: vfs.AttrMask(d.u32()), Mode: d.u32(), UID: d.u32(), GID: d.u32()}
	for _, t := range []*vfs.Timespec{&r.Atime, &r.Mtime, &r.MtimeBase, &r.Ctime, &r.Btime} {
		t.Sec, t.Nsec = int64(d.u64()), d.u32()
	}
	r.Change, r.State = d.u64(), d.u64()
	for len(d.b) > 0 && !d.short {
		dir := d.u64()
		r.Names = append(r.Names, Name{dir, string(d.take(int(d.u16())))})
	}
	if d.short {
		return nil, fmt.Errorf("index of a file system: the record of number %d is cut short", ino)
	}
	return r, nil
}

// decoder takes values from a slice; past its end they are zero.
type decoder struct {
	b     []byte
	short bool
}

func (d *decoder) take(n int) []byte {
	if len(d.b) < n {
		d.b, d.short = nil, true
		return make([]byte, n)
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) u8() byte    { return d.take(1)[0] }
func (d *decoder) u16() uint16 { return binary.BigEndian.Uint16(d.take(2)) }
func (d *decoder) u32() uint32 { return binary.BigEndian.Uint32(d.take(4)) }
func (d *decoder) u64() uint64 { return binary.BigEndian.Uint64(d.take(8)) }
