// Package host serves a directory of any file system that the kernel has
// mounted (ext4, xfs, btrfs, CephFS, a FUSE mount …) as a [vfs.FS].
//
// The kernel stays the only authority. It finds names (openat2(2), confined to
// the exported tree), names nodes (name_to_handle_at(2)), checks permissions
// (each call runs on a thread that has taken the caller's fsuid, fsgid and
// groups) and keeps the data. This package adds what NFS needs on top: nodes
// that are known by handle, a bounded number of descriptors whatever the
// number of files, and change attributes.
//
// # Nodes and descriptors
//
// A node is a handle and holds no descriptor. Descriptors live in one bounded
// cache (see descriptors.go), keyed by handle and access, and are opened again
// when they are needed and no longer there. The caches of a process have a part
// of its descriptors between them (see budget.go). An open file therefore costs a
// few dozen bytes until it is read or written. Before this package removes the
// last name of an open file it makes sure of a descriptor, so that the file
// stays usable until it is closed. A file that somebody else removes, behind
// this package's back, is ESTALE as soon as its descriptor has left the cache.
//
// # Where the export ends
//
// No lookup follows a symbolic link, goes above the directory it starts from
// or enters another mount. A directory on which something else is mounted
// answers EACCES; export it on its own. A handle is not checked to lie below
// the exported directory: like knfsd's no_subtree_check, this package trusts
// that a handle is one it gave out, which the layer above proves with a MAC.
// Who wants a hard border exports a whole file system.
//
// # Handles without kernel support
//
// Where the file system has no handles (overlayfs) or none that last (FUSE), or
// the process lacks CAP_DAC_READ_SEARCH, a handle is the inode number and birth
// time, and a table (see table.go) remembers under which name it was last
// seen. Such a handle survives renames through this package, and others'
// renames within one directory; it is ESTALE after a move by somebody else, or
// after the removal of the one of several names that the table knows, until the
// file is looked up again.
//
// # Network file systems
//
// Data moves through descriptors that this process opens as root. A server
// that squashes root refuses these; export its tree there instead.
//
// # Without root
//
// A process without CAP_SETUID and CAP_SETGID cannot act for others. Every
// call is then made as the user it runs as, and Caps say SingleUser. Since a
// descriptor could not be opened again after a chmod, each open file then
// keeps one.
//
// # What Open changes for the whole process
//
// A new node gets the mode its creator asked for, so [Open] sets the umask to
// 0. Threads act for callers with the callers' groups only, so a process of
// root gives up its own.
package host
