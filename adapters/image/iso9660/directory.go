package iso9660

import (
	"strings"
	"time"
	"unicode/utf16"

	"github.com/fsva/fsva/adapters/image/disk"
	"github.com/fsva/fsva/adapters/tree"
	"github.com/fsva/fsva/vfs"
)

// record is a directory record (ECMA-119 §9.1).
type record []byte

// Flags of a record.
const (
	isDirectory  = 0x02
	isAssociated = 0x04
	goesOn       = 0x80
)

const recordHeader = 33

func (r record) place() uint32      { return le.Uint32(r[2:]) + uint32(r[1]) }
func (r record) size() uint32       { return le.Uint32(r[10:]) }
func (r record) flags() byte        { return r[25] }
func (r record) identifier() []byte { return r[recordHeader : recordHeader+int(r[32])] }

// sound reports whether the identifier is in the record.
func (r record) sound() bool { return len(r) > recordHeader && recordHeader+int(r[32]) <= len(r) }

// systemUse is what follows the identifier, on an even byte.
func (r record) systemUse() []byte {
	at := recordHeader + int(r[32])
	return r[min(at+at&1, len(r)):]
}

// mtime is seven bytes, the last one the zone in quarters of an hour.
func (r record) mtime() vfs.Timespec { return shortTime(r[18:25]) }

func shortTime(p []byte) vfs.Timespec {
	zone := time.FixedZone("", int(int8(p[6]))*15*60)
	return vfs.TimespecOf(time.Date(1900+int(p[0]), time.Month(p[1]), int(p[2]), int(p[3]), int(p[4]), int(p[5]), 0, zone))
}

// naming is where the names of files are.
type naming int

const (
	standard naming = iota
	inJoliet
	rockRidge
)

// name is the name of a record without Rock Ridge: as Linux shows it, without a
// version and, of the standard's, in lower case.
func (v *volume) name(r record) string {
	id := r.identifier()
	var name string
	if v.names == inJoliet {
		units := make([]uint16, len(id)/2)
		for i := range units {
			units[i] = uint16(id[2*i])<<8 | uint16(id[2*i+1])
		}
		name = string(utf16.Decode(units))
	} else {
		name = strings.ToLower(string(id))
	}
	name = strings.TrimSuffix(name, ";1")
	if v.names == standard {
		name = strings.TrimSuffix(name, ".")
	}
	return name
}

// maxDepth is more than a path can have directories (PATH_MAX).
const maxDepth = 2048

const (
	// maxSections bounds the sections of a file. The largest image has room for
	// 2,048 of the largest sections; Linux reads files of 100 (fs/isofs/inode.c).
	maxSections = 4096
	// maxAllSections bounds those of all files, to 16 bytes each.
	maxAllSections = tree.DefaultMaxNodes
)

// section is a record's part of a file, which is put behind those before it.
func (v *volume) section(before []disk.Extent, r record) ([]disk.Extent, error) {
	if len(before) == maxSections {
		return nil, disk.Corrupt("a file of more than %d sections", maxSections)
	}
	if v.sections++; v.sections > maxAllSections {
		return nil, vfs.Errorf(vfs.EFBIG, "files of more than %d sections", maxAllSections)
	}
	return append(before, disk.Extent{Off: int64(r.place()) * v.blockSize, Size: int64(r.size())}), nil
}

// enter goes to a directory: where it is, and its bytes.
func (v *volume) enter(dir record, depth int) (disk.Extent, error) {
	at := disk.Extent{Off: int64(dir.place()) * v.blockSize, Size: int64(dir.size())}
	switch v.listed += at.Size; {
	case v.seen[dir.place()]:
		return at, disk.Corrupt("the directory at block %d is in several directories", dir.place())
	case depth > maxDepth:
		return at, disk.Corrupt("more than %d directories in one another", maxDepth)
	case at.Off+at.Size > v.size:
		return at, disk.Corrupt("the directory at block %d is not in the image", dir.place())
	case v.listed > v.size:
		return at, disk.Corrupt("the directory at block %d is in the place of others", dir.place())
	}
	v.seen[dir.place()] = true
	return at, nil
}

// directory adds what is in a directory.
func (v *volume) directory(path string, dir record, depth int) error {
	list, err := v.enter(dir, depth)
	if err != nil {
		return err
	}
	var parts []disk.Extent // of a file in several records
	for at := int64(0); at < list.Size; at += sectorSize {
		p := make([]byte, min(sectorSize, list.Size-at))
		if err := disk.ReadFull(v.dev, p, list.Off+at); err != nil {
			return err
		}
		// No record crosses the end of a sector; zeroes fill it.
		for len(p) > 0 && p[0] != 0 {
			r := record(p[:min(int(p[0]), len(p))])
			if len(r) != int(p[0]) || !r.sound() {
				return disk.Corrupt("the directory at block %d has a malformed record", dir.place())
			}
			p = p[len(r):]
			if r[32] == 1 && r.identifier()[0] <= 1 || r.flags()&isAssociated != 0 {
				continue // itself, its parent, or a resource fork
			}
			if parts, err = v.section(parts, r); err != nil {
				return err
			}
			if r.flags()&goesOn != 0 {
				continue
			}
			if err := v.add(path, r, parts, depth); err != nil {
				return err
			}
			parts = nil
		}
	}
	return nil
}

// add adds what a record stands for, and what is in it.
func (v *volume) add(path string, r record, parts []disk.Extent, depth int) error {
	e := tree.Entry{Type: vfs.TypeRegular, Mode: 0o444, Mtime: r.mtime()}
	if r.flags()&isDirectory != 0 {
		e.Type, e.Mode = vfs.TypeDirectory, 0o555
	}
	name, unreadable := "", r[26] != 0 || r[27] != 0 // interleaved
	if v.names == rockRidge {
		u, err := v.use(r.systemUse()[min(v.skip, len(r.systemUse())):])
		if err != nil {
			return err
		}
		if u.hidden {
			return nil
		}
		u.describe(&e)
		name, unreadable = u.name, unreadable || u.packed
		if u.child != 0 {
			if r, err = v.relocated(u.child); err != nil {
				return err
			}
			if e, err = v.rootEntry(r); err != nil {
				return err
			}
		}
	}
	if name == "" {
		name = v.name(r)
	}
	if vfs.CheckName(name) != nil {
		return nil
	}
	e.Path = path + "/" + name
	if e.Type == vfs.TypeRegular {
		for _, x := range parts {
			if x.Off+x.Size > v.size {
				return disk.Corrupt("%.200q is not all in the image: it is cut short", e.Path)
			}
			e.Size += uint64(x.Size)
		}
		if unreadable {
			parts = nil
		}
		e.Item = uint64(len(v.files))
		v.files = append(v.files, parts)
	}
	if err := v.b.Add(e); err != nil || e.Type != vfs.TypeDirectory {
		return err
	}
	return v.directory(e.Path, r, depth+1)
}

// itself reads the record of "." in a directory.
func (v *volume) itself(dir record) (record, error) {
	p := make([]byte, sectorSize)
	if err := disk.ReadFull(v.dev, p, int64(dir.place())*v.blockSize); err != nil {
		return nil, err
	}
	r := record(p[:p[0]])
	if !r.sound() || r[32] != 1 || r.identifier()[0] != 0 {
		return nil, disk.Corrupt("the directory at block %d does not start with itself", dir.place())
	}
	return r, nil
}

// relocated is the directory that lies elsewhere since the standard has no room
// for its depth.
func (v *volume) relocated(place uint32) (record, error) {
	r := make(record, recordHeader+1)
	le.PutUint32(r[2:], place)
	return v.itself(r)
}

// rootEntry is what the "." of a directory says of it.
func (v *volume) rootEntry(dir record) (tree.Entry, error) {
	e := tree.Entry{Type: vfs.TypeDirectory, Mode: 0o555, Mtime: dir.mtime()}
	if v.names != rockRidge {
		return e, nil
	}
	r, err := v.itself(dir)
	if err != nil {
		return e, err
	}
	u, err := v.use(r.systemUse()[min(v.skip, len(r.systemUse())):])
	if err == nil {
		u.describe(&e)
		e.Type = vfs.TypeDirectory
	}
	return e, err
}
