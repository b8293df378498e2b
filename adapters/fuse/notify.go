package fusefs

import (
	"sync/atomic"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// Notifier takes what a file system tells the kernel when something changed that
// was not changed by the kernel's own calls. It is an fs.ServerCallbacks:
//
//	n := new(fusefs.Notifier)
//	raw := fs.NewNodeFS(root, &fs.Options{ServerCallbacks: n})
//	f, err := fusefs.New(raw, fusefs.Options{Notifier: n})
//
// Guests see that the change attribute has moved, and read again. Until New has
// returned, nobody has anything to read again.
type Notifier struct {
	fs atomic.Pointer[FS]
}

// changed answers ENOENT for a node that nobody knows, as the kernel does.
func (n *Notifier) changed(nodes ...uint64) fuse.Status {
	f := n.fs.Load()
	if f == nil {
		return fuse.ENOENT
	}
	code := fuse.OK
	for _, id := range nodes {
		if !f.nodes.changed(id, f.changes.Add(1)) {
			code = fuse.ENOENT
		}
	}
	return code
}

// InodeNotify says that data or attributes of a node have changed.
func (n *Notifier) InodeNotify(node uint64, _, _ int64) fuse.Status { return n.changed(node) }

// EntryNotify says that a name leads to something else, or nowhere.
func (n *Notifier) EntryNotify(parent uint64, _ string) fuse.Status { return n.changed(parent) }

// DeleteNotify says that a name is gone.
func (n *Notifier) DeleteNotify(parent, child uint64, _ string) fuse.Status {
	return n.changed(parent, child)
}

// InodeNotifyStoreCache offers data for a cache, of which there is none.
func (n *Notifier) InodeNotifyStoreCache(node uint64, _ int64, _ []byte) fuse.Status {
	return n.changed(node)
}

// InodeRetrieveCache asks for cached data, of which there is none.
func (n *Notifier) InodeRetrieveCache(uint64, int64, []byte) (int, fuse.Status) {
	return 0, fuse.OK
}
