package fusefs_test

import (
	"context"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	fusefs "github.com/fsva/fsva/adapters/fuse"
	"github.com/fsva/fsva/vfs"
)

// obedient gives up with its callers, who do so once a name has been changed.
type obedient struct {
	fuse.RawFileSystem
	giveUp func()
	owner  fuse.Status // of changing it
}

func givenUp(cancel <-chan struct{}) bool {
	select {
	case <-cancel:
		return true
	default:
		return false
	}
}

// change makes a change, if it is still wanted, after which it no longer is.
func (o *obedient) change(cancel <-chan struct{}, do func() fuse.Status) fuse.Status {
	if givenUp(cancel) {
		return fuse.EINTR
	}
	defer o.giveUp()
	return do()
}

func (o *obedient) Create(cancel <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	return o.change(cancel, func() fuse.Status { return o.RawFileSystem.Create(cancel, in, name, out) })
}

func (o *obedient) Unlink(cancel <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	return o.change(cancel, func() fuse.Status { return o.RawFileSystem.Unlink(cancel, in, name) })
}

func (o *obedient) Rename(cancel <-chan struct{}, in *fuse.RenameIn, name, newName string) fuse.Status {
	return o.change(cancel, func() fuse.Status { return o.RawFileSystem.Rename(cancel, in, name, newName) })
}

func (o *obedient) GetAttr(cancel <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	if givenUp(cancel) {
		return fuse.EINTR
	}
	return o.RawFileSystem.GetAttr(cancel, in, out)
}

func (o *obedient) SetAttr(cancel <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	switch {
	case givenUp(cancel):
		return fuse.EINTR
	case in.Valid&fuse.FATTR_UID != 0 && o.owner != fuse.OK:
		return o.owner
	}
	return o.RawFileSystem.SetAttr(cancel, in, out)
}

func (o *obedient) Writev(cancel <-chan struct{}, in *fuse.WriteIn, data [][]byte) (uint32, fuse.Status) {
	if givenUp(cancel) {
		return 0, fuse.EINTR
	}
	return o.RawFileSystem.Writev(cancel, in, data)
}

func (o *obedient) Fsync(cancel <-chan struct{}, _ *fuse.FsyncIn) fuse.Status {
	if givenUp(cancel) {
		return fuse.EINTR
	}
	return fuse.OK
}

func startObedient(t *testing.T) (*fusefs.FS, *obedient) {
	t.Helper()
	raw := &obedient{RawFileSystem: fs.NewNodeFS(memRoot(), &fs.Options{NullPermissions: true}), giveUp: func() {}}
	f, err := fusefs.New(raw, memOptions)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, raw
}

func TestDataIsWrittenThoughTheCallerHasGivenUp(t *testing.T) {
	f, _ := startObedient(t)
	n, file, _, err := f.Root().Create(t.Context(), vfs.Root, "file", nil, vfs.OpenRead|vfs.OpenWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	before := f.WriteVerifier()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := n.GetAttr(ctx, vfs.AttrAll); vfs.ErrnoOf(err) != vfs.Errno(fuse.EINTR) {
		t.Fatalf("the file system does not notice: %v", err)
	}
	for _, want := range []vfs.Stability{vfs.Unstable, vfs.FileSync} {
		if n, done, err := file.WriteAt(ctx, []byte("text"), 0, want); n != 4 || done != want || err != nil {
			t.Errorf("%d bytes, %v, %v", n, done, err)
		}
	}
	if err := file.Sync(ctx, false); err != nil || f.WriteVerifier() != before {
		t.Errorf("%v, and the verifier went from %d to %d", err, before, f.WriteVerifier())
	}
}

func TestWhatIsDoneIsSaidToBeThoughTheCallerHasGivenUp(t *testing.T) {
	f, raw := startObedient(t)
	top := f.Root()
	for _, c := range []struct {
		name string
		do   func(ctx context.Context) error
	}{
		{"create", func(ctx context.Context) error {
			_, file, _, err := top.Create(ctx, vfs.Root, "file", &vfs.SetAttr{Set: vfs.SetUID, UID: 1001}, vfs.OpenWrite)
			if err == nil {
				err = file.Close()
			}
			return err
		}},
		{"rename", func(ctx context.Context) error {
			_, _, err := top.Rename(ctx, vfs.Root, "file", top, "other", 0)
			return err
		}},
		{"remove", func(ctx context.Context) error {
			_, err := top.Remove(ctx, vfs.Root, "other", false)
			return err
		}},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		raw.giveUp = cancel
		if err := c.do(ctx); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		cancel()
	}
}

func TestWhatCannotBeFinishedIsUndoneThoughTheCallerHasGivenUp(t *testing.T) {
	f, raw := startObedient(t)
	raw.owner = fuse.EIO
	ctx, cancel := context.WithCancel(t.Context())
	raw.giveUp = cancel
	_, _, _, err := f.Root().Create(ctx, vfs.Root, "file", &vfs.SetAttr{Set: vfs.SetUID, UID: 1001}, vfs.OpenWrite)
	if vfs.ErrnoOf(err) != vfs.EIO {
		t.Errorf("%v, want EIO", err)
	}
	if _, err := f.Root().Lookup(t.Context(), vfs.Root, "file"); vfs.ErrnoOf(err) != vfs.ENOENT {
		t.Errorf("%v, want ENOENT", err)
	}
}
