package iso9660

import (
	"strings"
	"time"

	"github.com/fsva/fsva/adapters/image/disk"
	"github.com/fsva/fsva/adapters/tree"
	"github.com/fsva/fsva/vfs"
)

// use is what the Rock Ridge fields of a record say (IEEE P1282).
type use struct {
	name     string
	target   string
	link     bool // target goes on without a slash
	posix    bool // mode, uid and gid are there
	mode     uint32
	uid, gid uint32
	rdev     vfs.Rdev
	mtime    vfs.Timespec
	timed    bool
	hidden   bool   // a directory that is elsewhere in the tree
	child    uint32 // where that directory is
	packed   bool   // by zisofs
}

// findRockRidge looks for the fields SP, which tells where the others start, and
// PX in the record of the root.
func (v *volume) findRockRidge(root record) (bool, error) {
	r, err := v.itself(root)
	if err != nil {
		return false, err
	}
	p := r.systemUse()
	if len(p) < 7 || string(p[:2]) != "SP" || p[4] != 0xBE || p[5] != 0xEF {
		return false, nil
	}
	v.skip = int(p[6])
	u, err := v.use(p)
	return u.posix, err
}

// maxAreas bounds the areas of one record.
const maxAreas = 64

// use reads the fields of a record, and of the areas where they go on.
func (v *volume) use(p []byte) (use, error) {
	var u use
	for range maxAreas {
		next, err := v.fields(&u, p)
		if err != nil || next.Size == 0 {
			return u, err
		}
		if next.Size > sectorSize {
			return u, disk.Corrupt("a system use area of %d bytes", next.Size)
		}
		p = make([]byte, next.Size)
		if err := disk.ReadFull(v.dev, p, next.Off); err != nil {
			return u, err
		}
	}
	return u, disk.Corrupt("system use areas without end")
}

// fields reads the fields of an area. It returns where they go on.
func (v *volume) fields(u *use, p []byte) (next disk.Extent, err error) {
	for len(p) >= 4 {
		size := int(p[2])
		if size < 4 || size > len(p) {
			break // padding
		}
		f := p[:size]
		p = p[size:]
		switch tag := string(f[:2]); {
		case tag == "CE" && size >= 28:
			next = disk.Extent{Off: int64(le.Uint32(f[4:]))*v.blockSize + int64(le.Uint32(f[12:])), Size: int64(le.Uint32(f[20:]))}
		case tag == "ST":
			return next, nil
		default:
			if err := u.field(tag, f); err != nil {
				return next, err
			}
		}
	}
	return next, nil
}

// maxName bounds a name or a target that is put together of many fields.
const maxName = 1 << 16

func (u *use) field(tag string, f []byte) error {
	switch {
	case tag == "PX" && len(f) >= 36:
		u.posix, u.mode, u.uid, u.gid = true, le.Uint32(f[4:]), le.Uint32(f[20:]), le.Uint32(f[28:])
	case tag == "PN" && len(f) >= 20:
		u.rdev = device(le.Uint32(f[4:]), le.Uint32(f[12:]))
	case tag == "NM" && len(f) >= 5 && f[4]&^1 == 0: // and not "." or ".."
		u.name += string(f[5:])
	case tag == "SL" && len(f) >= 5:
		u.symlink(f[5:])
	case tag == "TF" && len(f) >= 5:
		u.times(f)
	case tag == "CL" && len(f) >= 12:
		u.child = le.Uint32(f[4:])
	case tag == "RE":
		u.hidden = true
	case tag == "ZF":
		u.packed = true
	}
	if len(u.name) > maxName || len(u.target) > maxName {
		return disk.Corrupt("a name of more than %d bytes", maxName)
	}
	return nil
}

// device is a number in two halves; some writers have all of it in the lower one.
func device(high, low uint32) vfs.Rdev {
	if high == 0 && low > 0xFF {
		return vfs.Rdev{Major: low >> 8 & 0xFFF, Minor: low&0xFF | low>>12&0xFFF00}
	}
	return vfs.Rdev{Major: high, Minor: low}
}

// symlink adds components of a target. Flag 1 of one says that it goes on in the
// next, without a slash between.
func (u *use) symlink(p []byte) {
	for len(p) >= 2 && int(p[1])+2 <= len(p) {
		flags, text := p[0], string(p[2:2+p[1]])
		p = p[2+p[1]:]
		switch {
		case flags&2 != 0:
			text = "."
		case flags&4 != 0:
			text = ".."
		case flags&8 != 0:
			u.target, u.link = "/", true
			continue
		}
		if u.target != "" && !u.link {
			u.target += "/"
		}
		u.target += text
		u.link = flags&1 != 0
	}
}

// times takes the time of the last change of data, which follows that of the
// creation.
func (u *use) times(f []byte) {
	flags, p := f[4], f[5:]
	size := 7
	if flags&0x80 != 0 {
		size = 17
	}
	if flags&1 != 0 {
		p = p[min(size, len(p)):]
	}
	if flags&2 == 0 || len(p) < size {
		return
	}
	u.timed = true
	if size == 7 {
		u.mtime = shortTime(p[:7])
		return
	}
	t, err := time.Parse("20060102150405", strings.TrimRight(string(p[:14]), "\x00"))
	if u.timed = err == nil; u.timed {
		u.mtime = vfs.TimespecOf(t.Add(-time.Duration(int8(p[16])) * 15 * time.Minute))
	}
}

// describe says of an entry what the fields do.
func (u *use) describe(e *tree.Entry) {
	if u.timed {
		e.Mtime = u.mtime
	}
	if !u.posix {
		return
	}
	e.Mode, e.UID, e.GID = u.mode&0o7777, u.uid, u.gid
	switch u.mode >> 12 {
	case 0o01:
		e.Type = vfs.TypeFIFO
	case 0o02:
		e.Type, e.Rdev = vfs.TypeChar, u.rdev
	case 0o06:
		e.Type, e.Rdev = vfs.TypeBlock, u.rdev
	case 0o12:
		e.Type, e.Target = vfs.TypeSymlink, u.target
	case 0o14:
		e.Type = vfs.TypeSocket
	}
}
