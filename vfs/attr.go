package vfs

import "time"

// FileType is the kind of a node.
type FileType uint8

const (
	TypeUnknown FileType = iota
	TypeRegular
	TypeDirectory
	TypeSymlink
	TypeBlock
	TypeChar
	TypeFIFO
	TypeSocket
)

// AttrMask names attributes, so that an adapter computes none in vain.
type AttrMask uint32

const (
	AttrType   AttrMask = 1 << iota
	AttrMode            // Mode: the twelve permission bits
	AttrNlink           // Nlink
	AttrOwner           // UID and GID
	AttrSize            // Size
	AttrSpace           // Used
	AttrTimes           // Atime, Mtime, Ctime
	AttrBirth           // Btime, where the file system has one
	AttrChange          // Change
	AttrFileID          // FileID
	AttrRdev            // Rdev of a device
	AttrNode            // for ReadDir only: DirEntry.Node

	// AttrStat is what stat(2) tells.
	AttrStat = AttrType | AttrMode | AttrNlink | AttrOwner | AttrSize | AttrSpace | AttrTimes | AttrFileID | AttrRdev
	// AttrAll is every attribute of a node.
	AttrAll = AttrStat | AttrBirth | AttrChange
)

// Attr is the attributes of a node. Only the fields that Valid names mean
// something.
type Attr struct {
	Valid  AttrMask
	Type   FileType
	Mode   uint32 // 07777: no type bits
	Nlink  uint32
	UID    uint32
	GID    uint32
	Size   uint64
	Used   uint64 // bytes of storage
	FileID uint64 // inode number, unique in the FS among live nodes
	// Change differs after every change to data or metadata, and grows
	// strictly where Caps.ChangeMonotonic says so.
	Change                     uint64
	Atime, Mtime, Ctime, Btime Timespec
	Rdev                       Rdev
}

// Rdev is the number of a device node.
type Rdev struct{ Major, Minor uint32 }

// Timespec is a point in time as stat(2) and NFS carry it: seconds since 1970,
// which may be negative, and 0 to 999,999,999 nanoseconds after that.
type Timespec struct {
	Sec  int64
	Nsec uint32
}

// TimespecOf converts a time.Time.
func TimespecOf(t time.Time) Timespec {
	return Timespec{Sec: t.Unix(), Nsec: uint32(t.Nanosecond())}
}

// Time converts to a time.Time.
func (t Timespec) Time() time.Time { return time.Unix(t.Sec, int64(t.Nsec)) }

// SetMask names the attributes that a SetAttr changes.
type SetMask uint32

const (
	SetMode SetMask = 1 << iota
	SetUID
	SetGID
	SetSize
	SetAtime    // to SetAttr.Atime
	SetMtime    // to SetAttr.Mtime
	SetAtimeNow // to the server's clock; write permission is enough
	SetMtimeNow
)

// SetAttr is a change of attributes, or the attributes a new node starts
// with. On creation UID and GID are those of the caller (the GID the
// directory's where that is set-gid) unless set, mode comes from Mode as it
// is (no umask: the client has applied its own) with 0 where unset, and size
// must be 0 or unset.
type SetAttr struct {
	Set          SetMask
	Mode         uint32
	UID, GID     uint32
	Size         uint64
	Atime, Mtime Timespec
	// Via, if not nil, is an open for writing of the node through which
	// the size is set, as by ftruncate(2): permission was checked when it
	// was opened.
	Via File
}

// Has reports whether any of mask is to be set. A nil SetAttr sets nothing.
func (s *SetAttr) Has(mask SetMask) bool { return s != nil && s.Set&mask != 0 }

// Access is a set of permissions that can be asked for, with the bits of
// NFSv4's ACCESS (RFC 8881 §18.1, RFC 8276 §8.5).
type Access uint32

const (
	AccessRead       Access = 0x001 // read a file, list a directory
	AccessLookup     Access = 0x002 // look up a name in a directory
	AccessModify     Access = 0x004 // change a file's data or a directory's entries
	AccessExtend     Access = 0x008 // append to a file or add entries
	AccessDelete     Access = 0x010 // remove an entry from a directory
	AccessExecute    Access = 0x020 // execute a file
	AccessXattrRead  Access = 0x040
	AccessXattrWrite Access = 0x080
	AccessXattrList  Access = 0x100
)
