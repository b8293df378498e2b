// Package fusefs serves file systems that were written for the Go library
// github.com/hanwen/go-fuse/v2, in this process and without the kernel's FUSE:
// [New] makes a vfs.FS of a fuse.RawFileSystem, such as fs.NewNodeFS returns.
//
// # Nodes
//
// This package is to the file system what the kernel is: it looks names up, keeps
// the node ids that it gets and gives each back with Forget, as often as it was
// looked up. The [table] holds an [entry] for each node id; it is bounded, and
// forgets what was used longest ago and is neither open nor above something
// else.
//
// # Locks
//
// The file system gets the kernel's guarantees. entry.op is the inode's lock: it
// is held for reading while a directory is searched or listed and a file is read,
// and for writing while either is changed. Beside it a lock for the name makes
// lookups of the same name one at a time. FS.renames makes renames one at a time.
//
// The order is FS.renames, entry.op of a directory before that of what is in it,
// the lock of a name, table.mu. The last is never held over a call of the file
// system, so that notifications may come at any time.
package fusefs
