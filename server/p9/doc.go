// Package p9 serves 9P2000.L, the dialect of 9P that the Linux client speaks,
// from the exports of package export. Files, locks and shares are those that
// NFS clients meet.
//
// Reading order: message.go names the messages and wire.go takes them apart;
// operation.go has the table of all messages that are served; session.go is
// what one client has: its fids and the requests under way; then the
// operations, a file for each group: attach.go, walk.go, open.go, io.go,
// readdir.go, attr.go, namespace.go, xattr.go, lock.go, flush.go. Each is a
// method of request that decodes its arguments, calls vfs and encodes its
// result.
//
// Messages come by two ways. A [Server] accepts stream connections of any kind
// (conn.go); the goroutine that reads a connection also answers what it reads,
// so that a quick request costs no switch between threads, and another one
// reads on when a request turns out to take long. A [Channel] is handed single
// requests, in memory that the guest shares, as virtio and Xen rings have them
// (channel.go).
//
// Every byte from a client is checked. Lengths and counts are bounded by the
// message they come in, messages by the msize that was agreed on, and fids,
// requests under way and connections by [Options].
package p9
