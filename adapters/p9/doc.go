// Package p9fs is a border with the Go library github.com/hugelgupf/p9 in
// both directions: [New] makes a vfs.FS of a file system that was written for
// that library, and [Attacher] offers any vfs.FS to the library's server.
//
// # Nodes
//
// A p9.File is a fid: it is walked to, opened at most once, and closed. A
// vfs.Node is an object known by identity that costs nothing to hold. What
// leads from one to the other is QID.Path, which the file system must keep
// unique and unchanging: the table has an [entry] for each path that was
// met, with the directory and name it was met under. A File is had by walking
// there from the nearest directory that still has one. Both the table and the
// number of Files kept are bounded; the least recently used go.
//
// # Locks
//
// A p9.File may rely on the guarantees that the library's server gives it
// (see p9.File), so the adapter gives them, too: FS.tree is held for writing
// by a rename ("global") and for reading by everything else; entry.op is held
// for reading or writing as the method has a "read" or "write" guarantee.
// table.mu is for the table alone and never held while a method of a File
// runs. The order is FS.tree, entry.op of a directory, entry.op of what is in
// it, table.mu. Files are walked to before an entry.op is taken, since the walk
// takes those on the way, one at a time.
package p9fs
