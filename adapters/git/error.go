package git

import (
	"context"
	"errors"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/fsva/fsva/adapters/git/objects"
	"github.com/fsva/fsva/vfs"
)

// fail is what a guest is told when an object cannot be had. The log is told
// once.
func (f *FS) fail(id plumbing.Hash, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return vfs.Errorf(vfs.EIO, "%v", err) // nobody waits for it
	}
	f.complain(id.String(), err)
	if errors.Is(err, objects.ErrTooLarge) {
		return vfs.Errorf(vfs.EFBIG, "%v", err)
	}
	return vfs.Errorf(vfs.EIO, "%v", err)
}

// complain logs that something cannot be read: once, until many others could
// not be read either.
func (f *FS) complain(what string, err error) {
	if _, said := f.logged.Get(what); said {
		return
	}
	f.logged.Add(what, struct{}{})
	f.opt.Log.Error().Err(err).Str("object", what).Msg("cannot read from the repository")
}
