package fusefs

import (
	"context"
	"os"
	"runtime/debug"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/fsva/fsva/vfs"
)

// errBroken is for answers that no file system may give.
var errBroken = vfs.Errorf(vfs.EIO, "the FUSE file system does not keep to the protocol")

// notImplemented is what call returns for ENOSYS, which the kernel takes for
// "never ask again" where there is another way.
const notImplemented = vfs.Errno(fuse.ENOSYS)

// call makes a call of the file system. A panic there is an error here, as the
// library's own server has it.
func (f *FS) call(do func() fuse.Status) (err error) {
	defer func() {
		if p := recover(); p != nil {
			f.opt.Log.Error().Any("panic", p).Bytes("stack", debug.Stack()).Msg("the FUSE file system panicked")
			err = vfs.Errorf(vfs.EIO, "the FUSE file system panicked: %v", p)
		}
	}()
	if code := do(); code != fuse.OK {
		return vfs.Errno(code)
	}
	return nil
}

// gone is the error of a call on a node that was known: that it is not there
// says that the handle is stale. ENOSYS, by which a file system answers calls that
// it does not have, is EOPNOTSUPP to guests.
func gone(err error) error {
	switch err {
	case vfs.ENOENT:
		return vfs.ESTALE
	case notImplemented:
		return vfs.EOPNOTSUPP
	}
	return err
}

// supported makes EOPNOTSUPP of ENOSYS, as gone does.
func supported(err error) error {
	if err == notImplemented {
		return vfs.EOPNOTSUPP
	}
	return err
}

var pid = uint32(os.Getpid())

// header is that of a call on a node for cred. Supplementary groups have no
// place in the protocol.
func (f *FS) header(cred *vfs.Cred, e *entry) fuse.InHeader {
	h := fuse.InHeader{NodeId: e.id, Unique: f.calls.Add(1)}
	cred = f.as(cred)
	h.Uid, h.Gid, h.Pid = cred.UID, cred.GID, pid
	return h
}

// cancel is closed when the caller gives up. It is for calls that come before a
// change or make one of names or extended attributes. Those that change data and
// attributes get nil: guests lose the pages that they cannot write, and nobody is
// there to try again. So do those that follow a change: see held.committed.
func cancel(ctx context.Context) <-chan struct{} { return ctx.Done() }
