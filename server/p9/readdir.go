package p9

import (
	"encoding/binary"
	"errors"

	"github.com/fsva/fsva/vfs"
)

// Offsets of "." and ".."; an entry's offset is where reading goes on behind
// it. Those of other entries are cookies of the file system, which are neither
// 0, 1 nor 2.
const (
	offsetDot    = 1
	offsetDotDot = 2
)

// direntTypes are the types of entries as in readdir(3).
var direntTypes = [...]uint8{
	vfs.TypeUnknown: 0, vfs.TypeRegular: 8, vfs.TypeDirectory: 4, vfs.TypeSymlink: 10,
	vfs.TypeBlock: 6, vfs.TypeChar: 2, vfs.TypeFIFO: 1, vfs.TypeSocket: 12,
}

// readdir answers Treaddir: fid[4] offset[8] count[4]. Entries are qid[13]
// offset[8] type[1] name[s]; their qids have no version, as the client only
// takes the inode number from them.
func (r *request) readdir() error {
	num, offset, count := r.in.uint32(), r.in.uint64(), r.in.uint32()
	f, err := r.fid(num)
	switch {
	case err != nil:
		return err
	case !f.dirOn:
		return vfs.EINVAL
	}
	r.mayBlockOnMetadata()
	l := listing{out: &r.out, room: int(min(count, uint32(r.room-rreadSize)))}
	at := len(r.out.buf)
	r.out.uint32(0)
	if offset < offsetDotDot {
		err = r.listDots(&l, f, offset)
		offset = offsetDotDot
	}
	if err == nil && !l.full {
		cookie := offset
		if offset == offsetDotDot {
			cookie = 0
		}
		_, err = f.node.ReadDir(r.ctx, r.cred(f), cookie, vfs.AttrType|vfs.AttrFileID, l.emit)
	}
	switch {
	case err != nil:
		return err
	case l.full && l.entries == 0:
		return vfs.EINVAL // as getdents(2): not even one fits
	}
	binary.LittleEndian.PutUint32(r.out.buf[at:], uint32(len(r.out.buf)-at-4))
	return nil
}

// listDots adds "." and "..", from where offset says.
func (r *request) listDots(l *listing, f *fid, offset uint64) error {
	parent, err := f.node.Parent(r.ctx, r.cred(f))
	if err != nil { // the root, or a directory above that the caller may not see
		if !errors.Is(err, vfs.ENOENT) && !errors.Is(err, vfs.EACCES) {
			return err
		}
		parent = f.node
	}
	for i, d := range []struct {
		name string
		node vfs.Node
	}{{".", f.node}, {"..", parent}} {
		if uint64(i) < offset {
			continue
		}
		a, err := d.node.GetAttr(r.ctx, vfs.AttrType|vfs.AttrFileID)
		if err != nil {
			return err
		}
		if !l.add(d.name, uint64(i)+offsetDot, a.FileID, a.Type) {
			return nil
		}
	}
	return nil
}

// listing is the entries of a reply.
type listing struct {
	out     *encoder
	room    int // bytes left
	entries int
	full    bool
}

// emit is for vfs.Node.ReadDir.
func (l *listing) emit(e *vfs.DirEntry) bool {
	if e.Err != nil {
		return true // vanished meanwhile
	}
	return l.add(e.Name, e.Cookie, e.FileID, e.Type)
}

func (l *listing) add(name string, offset, fileID uint64, typ vfs.FileType) bool {
	if l.room -= readdirEntry + len(name); l.room < 0 {
		l.full = true
		return false
	}
	q := qidOf(&vfs.Attr{Type: typ, FileID: fileID})
	q.version = 0
	l.out.qid(q)
	l.out.uint64(offset)
	l.out.uint8(direntTypes[typ])
	l.out.string(name)
	l.entries++
	return true
}
