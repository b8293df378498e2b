// Package git serves a git repository as a read-only file system: one revision
// as a tree, or every ref as a folder.
//
//	fs, err := git.Open("/srv/repo.git", git.Options{Revision: "v1.2"})
//
// Nothing is checked out. A listing reads tree objects, the size of a file is
// found in the header of its blob, and a blob is inflated when somebody reads it:
// small ones into a bounded cache in memory, large ones into a bounded cache on
// disk, as far as they are read. Package objects has what is stored and how.
//
// # Identity
//
// git has no inodes. A commit never changes, so a node is a place in a commit:
// all files and directories of a commit are numbered in the order in which a walk
// meets them, a directory before what is in it. A handle is the ref by which the
// commit was reached, the name of the commit, the number, and the first bytes of
// the name of the object that is to be found there. It needs no table: how many
// nodes are below each tree is counted once, so that the way from the root of the
// commit to a number is known. One blob at two paths, or one commit under two
// refs, is several nodes, each with one link.
//
// Refs move. The folder of a ref, or the root if a revision was named, is one
// node for good; what is in it are nodes of the commit that the ref points to now.
// Nodes of an earlier commit stay good for who has them, as long as git keeps the
// objects and the ref exists.
//
// # State
//
// [snapshot] is which refs there are; it is replaced as a whole and never
// changed. Directories, counts, commits and blobs are caches of what never
// changes. So there are no locks but those of the caches, the one that lets one
// goroutine at a time look for new refs, and that of the blobs on disk.
package git
