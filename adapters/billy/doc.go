// Package billy makes a vfs.FS of any github.com/go-git/go-billy/v5
// Filesystem, and the other way round.
//
//	fs, err := billy.New(mine, billy.Options{State: "/var/lib/mine"})
//
// billy knows files by path and open files by an offset; guests need nodes that
// keep their identity when they are renamed, removed while they are open, or
// found again after a restart. What is between the two:
//
//   - Numbers. package index gives every node a number when it is first seen and
//     keeps it, with the attributes that the file system has no place for, in
//     Options.State. A handle is the number and a random tag. A number is given
//     up when its node is found gone, and by [FS.Compact].
//   - Open files. All who have a file open share one billy.File, closed before
//     its name changes and opened again with the next read or write. A file that
//     is removed while it is open is renamed into the directory .fsva-removed of
//     the root, which no guest can see, until the last one closes it.
//   - Attributes. The file system is asked first: billy.Chmod and billy.Change
//     set them, os.FileInfo shows them. What it does not show as it was set is
//     kept in the index and shown from there.
//   - Durability. A file with Sync is synced; any other is closed, and opened
//     again, on the assumption that this is when the file system writes. A write
//     is never told to be stable without that.
//
// What a file system can do beyond billy it says by optional interfaces, which
// are all in ability.go.
//
// [FromVFS] goes the other way: any vfs.FS as a billy.Filesystem, for go-git,
// go-nfs and other tools that take one.
//
// # Locks
//
// In this order: FS.tree; body.mu, of which no two are waited for at once;
// files.mu, listings.mu and the index's own. FS.tree is held for writing where
// names change and for reading where a path is used, so that it stays true. It
// is not held while data is read or written, nor while the index commits (but
// for the note that goes ahead of a rename).
package billy
