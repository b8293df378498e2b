package rclone

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/rclone/rclone/fs"
	rvfs "github.com/rclone/rclone/vfs"
)

// hold ends the uploads of what is at and below a name, and has none begin until
// release is called: one that went on while the name changes would bring the old
// name back on the remote. rclone stops an upload when its file is written, and
// begins none while the file is open.
func (t *tree) hold(c *claim, name string) (release func(), err error) {
	held := make(map[string]rvfs.Handle)
	release = func() {
		for n, h := range held {
			_ = h.Close() // it is the ledger that knows what is not uploaded
			t.ledger.leave(n)
		}
	}
	for _, n := range t.ledger.below(name) {
		if _, link := cutLink(n, t.set.links); link || !t.store.dirty(n) {
			continue
		}
		if err := c.wanted(); err != nil {
			release()
			return nil, err
		}
		h, err := t.vfs.OpenFile(n, os.O_RDWR, 0)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			held[n] = h
			if err = t.ledger.enter(n); err == nil {
				err = rewrite(h)
			}
		}
		if err == nil {
			err = t.removeUnknown(n, h.Node())
		}
		if err != nil {
			release()
			return nil, err
		}
	}
	return release, nil
}

// removeUnknown removes what an upload that was stopped may have left.
func (t *tree) removeUnknown(name string, n rvfs.Node) error {
	if o, ok := n.DirEntry().(fs.Object); ok && o != nil {
		return nil // rclone knows
	}
	o, err := t.remote.NewObject(t.context(), name)
	if err == nil {
		err = o.Remove(t.context())
	}
	if gone(err) {
		return nil
	}
	return err
}

// wholeUpload is how large an upload is that is not stopped at once, but waited
// for as long as a call may take: who stops one that has been sent cannot know
// whether it was taken.
const wholeUpload = 16 << 20

// Put implements fs.Fs.
func (r *remote) Put(ctx context.Context, in io.Reader, src fs.ObjectInfo, options ...fs.OpenOption) (fs.Object, error) {
	if size := src.Size(); size >= 0 && size <= wholeUpload {
		longer, cancel := outlive(ctx, r.limit)
		defer cancel()
		ctx = longer
	}
	return r.Fs.Put(ctx, in, src, options...)
}

// outlive returns a context that is cancelled a while later than another.
func outlive(ctx context.Context, while time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-longer.Done():
		case <-time.After(while):
			cancel()
		}
	})
	return longer, func() {
		stop()
		cancel()
	}
}
