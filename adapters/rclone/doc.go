// Package rclone serves buckets, SFTP servers and whatever else rclone reaches
// as vfs.FS. Importing it registers three schemes with package adapters:
//
//	s3://BUCKET[/PREFIX][?KEYS]            an S3 bucket
//	sftp://USER@HOST[:PORT]/PATH[?KEYS]    a directory on an SSH server
//	rclone:REMOTE:[PATH][?KEYS]            a remote of rclone's configuration file
//
// rclone's back ends are not imported here but in [every], so that a test or
// another program takes those it needs.
//
// # Layers
//
// This package is what joins them:
//
//	fs.Fs           a back end of rclone
//	remote          that without names that a tree cannot hold (names.go)
//	rclone's vfs    directories that are remembered for a while, files that are
//	                cached in the state directory and uploaded in the background
//	tree, file      that as a billy.Filesystem, bounded in time (patience.go)
//	adapters/billy  nodes with an identity, handles, open files that are removed,
//	                owners and modes
//
// Beside them, [ledger] knows which files of the cache the remote has not, and
// [health] whether the remote answers.
//
// # What durable means
//
// A Sync puts a file's data into the cache in the state directory, where it
// survives the end of the process and of the machine; it is uploaded when the
// file has been closed for a while, or after the next start. What cannot be
// uploaded is kept and tried again for as long as it takes. Names are made,
// changed and removed on the remote at once, but for those of files that are
// not uploaded yet.
//
// A file is changed only when all of it is in the cache: rclone can upload no
// less, and the remote may be gone when it would need the rest.
//
// # Remotes that do not answer
//
// Each call has a limit, after which it fails with EIO. What rclone is doing then
// goes on in the background until its own, longer limits end it. What would
// change names then comes to nothing, or keeps others away from them ([claims]).
//
// # Names that no tree can hold
//
// An object store takes any string for a name. These rules apply:
//
//   - What is below an empty name, as "a//b" and "/a" are, is left out; so is a
//     "." or "..", a NUL, and a name of more than 255 bytes.
//   - Where a name is a directory and something else too ("a" beside "a/b"), the
//     directory stays. A file stays beside a symbolic link.
//   - Of several files of one name, the one that the back end lists first stays.
//
// What is left out is not touched, and the log tells of each directory once.
//
// [every]: https://pkg.go.dev/github.com/fsva/fsva/adapters/rclone/every
package rclone
