// Package vfs is the waist of the appliance: the model of a file system that
// every adapter provides and every protocol server speaks. A server never
// imports an adapter and an adapter never imports a server; both know only
// what is written here.
//
// The model in one paragraph. An [FS] is one file system. It is made of
// [Node]s: files, directories, symbolic links and special files, known by
// identity and not by path, so that a rename changes nothing for who holds
// one. A node has a handle, an opaque string of bytes from which [FS.Resolve]
// finds it again after a restart. Reading and writing goes through a [File],
// a node that was opened with some access. Whoever asks is named by a [Cred]
// with every call, and the adapter enforces what that caller may do. Errors
// are [Errno]s. What not every file system can do (hard links, extended
// attributes, holes, clones) is a small interface of one or two methods,
// found by type assertion on the Node or File; the [Caps] of an FS say
// beforehand which of them its nodes have.
//
// Start reading here, then adapters/mem for a whole file system in this
// model, then server/nfs for a protocol on top of it.
package vfs

import "context"

// Bounds that hold for every adapter and server.
const (
	// MaxName is the longest name of a directory entry, in bytes, as in
	// Linux (NAME_MAX). Longer names are refused with ENAMETOOLONG.
	MaxName = 255
	// MaxSymlink is the longest target of a symbolic link, in bytes.
	MaxSymlink = 4095
	// MaxNodeHandle is the longest handle an adapter may give a node, in
	// bytes. With what package export adds it stays within NFSv4's 128;
	// adapters should stay within 44 so that it also fits NFSv3's 64.
	MaxNodeHandle = 104
	// MaxXattr is the longest value of an extended attribute, in bytes
	// (XATTR_SIZE_MAX).
	MaxXattr = 64 << 10
)

// FS is one file system. Its methods may be called from many goroutines at
// once, as may those of its nodes and files.
type FS interface {
	// Root returns the top directory. It never fails: an adapter that
	// cannot reach its root does not open.
	Root() Node

	// Resolve returns the node that handle names. It fails with ESTALE
	// when the node is gone for good and with EBADHANDLE when the bytes
	// can never have been a handle of this file system.
	Resolve(ctx context.Context, handle []byte) (Node, error)

	// StatFS reports space and limits.
	StatFS(ctx context.Context) (StatFS, error)

	// Caps says what this file system can do. It does not change while
	// the file system is open.
	Caps() Caps

	// WriteVerifier changes exactly when data written unstably may have
	// been lost: for a file system in this process's memory with every
	// start, for a kernel file system with the boot of the machine and
	// after a failed write-back. Data has the verifier of before its
	// write, and is durable if that is still the one after a Sync.
	WriteVerifier() uint64

	// Close gives back everything the file system holds. No call is
	// under way and none follows.
	Close() error
}

// Node is a file-system object by identity. A Node needs no release: holding
// one costs memory and nothing else (an adapter opens and closes its own
// descriptors as it needs them), and two Nodes are the same object when their
// handles are equal.
//
// Names passed to a Node's methods are one path component of 1 to MaxName
// bytes without '/' or NUL, and neither "." nor "..": servers see to that
// with [CheckName]. Methods on a node that has been removed fail with ESTALE
// unless it is still open, in which case they go on working.
//
// Methods that change a directory return a [DirChange] for it.
type Node interface {
	// Handle returns the bytes that Resolve takes. They never change and
	// must not be modified. 1 to MaxNodeHandle bytes.
	Handle() []byte

	// GetAttr fills in the attributes in want, and may fill in more;
	// Attr.Valid tells. It needs no permission on the node.
	GetAttr(ctx context.Context, want AttrMask) (Attr, error)

	// SetAttr changes attributes, all or (on error) as few as it can. A
	// size change comes first, so that a failed truncation leaves mode
	// and times alone; a change of owner or size clears set-id bits as
	// chown(2) and truncate(2) do.
	SetAttr(ctx context.Context, cred *Cred, set *SetAttr) error

	// Access returns the subset of want that cred is allowed.
	Access(ctx context.Context, cred *Cred, want Access) (Access, error)

	// Lookup finds name in this directory. ENOTDIR if the node is no
	// directory; no symbolic link is followed.
	Lookup(ctx context.Context, cred *Cred, name string) (Node, error)

	// Parent returns the directory that holds this directory. ENOENT for
	// the root, ENOTDIR if the node is no directory.
	Parent(ctx context.Context, cred *Cred) (Node, error)

	// ReadDir streams entries, without "." and "..", from where cookie
	// points: 0 is the start, anything else the Cookie of the last entry
	// the caller took. want says which attributes entries carry. It stops
	// with nil when emit returns false or when the directory ends; only
	// the latter case returns eof. An entry that is neither added nor
	// removed while a caller walks the directory is seen exactly once.
	// The *DirEntry and what it points to belong to ReadDir: emit copies
	// what it keeps.
	ReadDir(ctx context.Context, cred *Cred, cookie uint64, want AttrMask, emit func(*DirEntry) bool) (eof bool, err error)

	// ReadLink returns the target of a symbolic link, EINVAL for
	// anything else.
	ReadLink(ctx context.Context, cred *Cred) (string, error)

	// Open opens a regular file. EISDIR for a directory, ELOOP for a
	// symbolic link, ENXIO for other kinds.
	Open(ctx context.Context, cred *Cred, how OpenFlags) (File, error)

	// Create makes a regular file that must not exist yet (EEXIST) and
	// opens it, which succeeds whatever the mode it was given: open(2)
	// with O_CREAT|O_EXCL.
	Create(ctx context.Context, cred *Cred, name string, set *SetAttr, how OpenFlags) (Node, File, DirChange, error)

	// Mkdir makes a directory. EEXIST if the name is taken.
	Mkdir(ctx context.Context, cred *Cred, name string, set *SetAttr) (Node, DirChange, error)

	// Symlink makes a symbolic link; target is not interpreted.
	Symlink(ctx context.Context, cred *Cred, name, target string, set *SetAttr) (Node, DirChange, error)

	// Remove takes away an entry. With dir it must be an empty directory
	// (ENOTDIR, ENOTEMPTY), without it must not be one (EISDIR). A file
	// that is open stays readable and writable through its File and its
	// handle until the last File closes.
	Remove(ctx context.Context, cred *Cred, name string, dir bool) (DirChange, error)

	// Rename moves the entry oldName to newName in newDir, a node of the
	// same FS (EXDEV otherwise), replacing what is there under the rules
	// of rename(2). Two names of the same file: success, nothing changes.
	Rename(ctx context.Context, cred *Cred, oldName string, newDir Node, newName string, flags RenameFlags) (from, to DirChange, err error)
}

// File is a regular file that was opened. What it was opened for is not
// checked again: a File outlives a later chmod and the removal of its name.
type File interface {
	// Node returns the node that was opened.
	Node() Node

	// ReadAt reads up to len(p) bytes at off. n < len(p) with a nil error
	// means the file ends there. p is the caller's and is not kept.
	ReadAt(ctx context.Context, p []byte, off int64) (n int, err error)

	// WriteAt writes p at off and makes it as durable as want asks; done
	// tells how durable it is, at least want. On a short write err says
	// why and n bytes are written. p is the caller's and is not kept.
	WriteAt(ctx context.Context, p []byte, off int64, want Stability) (n int, done Stability, err error)

	// Sync makes everything written so far durable, with metadata only
	// as far as reading the data back needs it when dataOnly is set. A
	// failure also changes the FS's WriteVerifier.
	Sync(ctx context.Context, dataOnly bool) error

	// Close gives the File back. It must be called exactly once; nothing
	// may use the File afterwards. It does not imply Sync.
	Close() error
}

// DirEntry is one entry of a directory, as ReadDir emits it.
type DirEntry struct {
	Name   string
	Cookie uint64 // resumes behind this entry; never 0, 1 or 2 (RFC 8881 §18.23.3)
	FileID uint64
	Type   FileType // TypeUnknown if only a stat would tell and want did not ask
	// Attr carries what ReadDir's want asked for. Err is set instead where
	// the entry's attributes could not be had (it vanished meanwhile).
	Attr Attr
	Err  error
	// Node is set when want has AttrNode.
	Node Node
}

// DirChange is the change attribute of a directory before and after an
// operation. Atomic says that nothing else can have changed the directory
// between the two (change_info4, RFC 8881 §3.3.5).
type DirChange struct {
	Before, After uint64
	Atomic        bool
}

// Stability is how durable a write is (RFC 8881 §18.32: stable_how4).
type Stability uint32

const (
	Unstable Stability = iota // may be lost with the machine until Sync
	DataSync                  // data, and the metadata to read it back, is on stable storage
	FileSync                  // all data and metadata is on stable storage
)

// OpenFlags say what a File is opened for.
type OpenFlags uint32

const (
	OpenRead OpenFlags = 1 << iota
	OpenWrite
	// OpenReclaim restores an open that was granted before a restart: the
	// permission check was made then and is not repeated, since the mode
	// may have changed in between, as it may under any open file.
	OpenReclaim
	// OpenOwner lets the file's owner in whatever the mode bits say. A
	// server sets it where the client has the file open but the server
	// sees single reads and writes: POSIX lets who has opened a file go on
	// after a chmod, so servers have always let the owner pass there.
	OpenOwner
)

// RenameFlags change what Rename does when newName exists.
type RenameFlags uint32

const (
	// RenameNoReplace fails with EEXIST if newName exists.
	RenameNoReplace RenameFlags = 1 << iota
)

// StatFS is what statfs(2) tells. Sizes are in bytes.
type StatFS struct {
	BlockSize                         uint32
	TotalBytes, FreeBytes, AvailBytes uint64 // Avail: for callers other than root
	TotalFiles, FreeFiles, AvailFiles uint64
	MaxName                           uint32
	MaxFileSize                       uint64
	MaxLink                           uint32
	TimeGranularity                   uint32 // nanoseconds
	CaseInsensitive                   bool
}

// Caps is what an FS can do. A server advertises by it; the optional
// interfaces below are still asserted where they are used.
type Caps struct {
	ReadOnly     bool
	HardLinks    bool // nodes implement Linker
	SpecialFiles bool // nodes implement Mknoder
	Xattrs       bool // nodes implement Xattrer
	Holes        bool // files implement HoleSeeker with real holes
	Allocate     bool // files implement Allocator
	Copy         bool // files implement RangeCopier
	Clone        bool // files implement Cloner
	// Volatile says that nothing outlives this process: handles of an
	// earlier start are ESTALE.
	Volatile bool
	// ChangeMonotonic says that Change strictly grows, also over a
	// restart; otherwise it only differs (RFC 7862 §12.2.3).
	ChangeMonotonic bool
	// SingleUser says that the adapter cannot act as other users: every
	// call is made as the one user it runs as.
	SingleUser bool
	// Local says that metadata answers come from memory or a local disk
	// in microseconds, so that a server may ask without leaving the
	// goroutine that reads the connection.
	Local bool
}

// The optional abilities of nodes.
type (
	// Linker is a node that can be given further names.
	Linker interface {
		// Link gives the node the name newName in newDir, of the same FS.
		Link(ctx context.Context, cred *Cred, newDir Node, newName string) (DirChange, error)
	}

	// Mknoder is a directory that can hold devices, FIFOs and sockets.
	Mknoder interface {
		Mknod(ctx context.Context, cred *Cred, name string, typ FileType, rdev Rdev, set *SetAttr) (Node, DirChange, error)
	}

	// Xattrer is a node with extended attributes. Names are whole Linux
	// names with their namespace ("user.mime_type").
	Xattrer interface {
		// GetXattr returns the value; ENODATA if there is none.
		GetXattr(ctx context.Context, cred *Cred, name string) ([]byte, error)
		SetXattr(ctx context.Context, cred *Cred, name string, value []byte, flags XattrFlags) error
		ListXattr(ctx context.Context, cred *Cred) ([]string, error)
		// RemoveXattr fails with ENODATA if there is none.
		RemoveXattr(ctx context.Context, cred *Cred, name string) error
	}

	// LockSharer is a regular file on which programs other than the
	// appliance, perhaps on other machines, lock byte ranges too.
	LockSharer interface {
		// ShareLocks begins to lock the file for the appliance as a whole.
		ShareLocks(ctx context.Context) (SharedLocks, error)
	}
)

// SharedLocks are the locks that the appliance as a whole holds on a file, and
// which others see. Locks of its guests do not meet here, those of one appliance
// and of another do. Ranges have an offset and a length as in fcntl(2): length 0
// reaches to wherever the file ends. The methods are called one at a time.
type SharedLocks interface {
	// Set makes kind what the appliance holds of the range. EAGAIN if others
	// hold what excludes that: then nothing changes. It does not wait for them.
	Set(ctx context.Context, off, length int64, kind LockKind) error
	// Test returns what others hold that would exclude kind on the range; its
	// kind is Unlocked if there is nothing.
	Test(ctx context.Context, off, length int64, kind LockKind) (SharedLock, error)
	// Close gives back all locks.
	Close() error
}

// SharedLock is a lock that others hold.
type SharedLock struct {
	Off, Length int64
	Kind        LockKind
}

// LockKind is how bytes are locked.
type LockKind uint8

const (
	Unlocked LockKind = iota
	LockedRead
	LockedWrite
)

// XattrFlags say what SetXattr does when the attribute exists (setxattr(2)).
type XattrFlags uint32

const (
	XattrCreate  XattrFlags = 1 // EEXIST if it exists
	XattrReplace XattrFlags = 2 // ENODATA if it does not
)

// The optional abilities of files.
type (
	// HoleSeeker finds data and holes (lseek(2), SEEK_DATA and SEEK_HOLE).
	// ENXIO when off is at or past the end, or no data follows.
	HoleSeeker interface {
		SeekData(ctx context.Context, off int64) (int64, error)
		SeekHole(ctx context.Context, off int64) (int64, error)
	}

	// Allocator reserves and gives back space (fallocate(2)).
	Allocator interface {
		// Allocate guarantees space for the range and extends the file
		// to its end if that lies beyond.
		Allocate(ctx context.Context, off, length int64) error
		// Deallocate makes the range read as zeroes and frees what it
		// can; the size stays.
		Deallocate(ctx context.Context, off, length int64) error
	}

	// RangeCopier copies inside the file system. n may be short of
	// length; 0 with a nil error means the source ends at srcOff.
	RangeCopier interface {
		CopyRange(ctx context.Context, srcOff int64, dst File, dstOff, length int64) (n int64, err error)
	}

	// Cloner shares blocks (FICLONERANGE): all of it or nothing. Length 0
	// means to the end of the source. EXDEV or EOPNOTSUPP where the two
	// files cannot share, EINVAL where the range is not block aligned.
	Cloner interface {
		CloneRange(ctx context.Context, srcOff int64, dst File, dstOff, length int64) error
	}

	// Descriptor is a file behind a kernel descriptor that a server may
	// hand to sendfile(2). PinFD keeps it open until UnpinFD is called,
	// once for each PinFD, even when Close comes first. The offset of the
	// descriptor is shared: callers pass their own.
	Descriptor interface {
		PinFD() (fd int, err error)
		UnpinFD()
	}
)
