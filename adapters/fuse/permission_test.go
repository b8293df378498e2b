package fusefs_test

import (
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	fusefs "github.com/fsva/fsva/adapters/fuse"
	"github.com/fsva/fsva/vfs"
)

// club lets only its member open files, whatever their mode, and says nothing
// about writing.
type club struct {
	fuse.RawFileSystem
	member uint32
}

func (c club) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	if in.Uid != c.member {
		return fuse.EACCES
	}
	return c.RawFileSystem.Open(cancel, in, out)
}

func (c club) Access(_ <-chan struct{}, in *fuse.AccessIn) fuse.Status {
	switch {
	case in.Mask == fuse.W_OK:
		return fuse.ENOSYS
	case in.Uid != c.member:
		return fuse.EACCES
	}
	return fuse.OK
}

func TestWhoMayWhatIsTheFileSystemsToSayIfItWantsTo(t *testing.T) {
	alice, bob := &vfs.Cred{UID: 1001, GID: 1001}, &vfs.Cred{UID: 1002, GID: 1002}
	for _, own := range []bool{false, true} {
		opt := memOptions
		opt.OwnPermissions = own
		f, err := fusefs.New(club{fs.NewNodeFS(memRoot(), &fs.Options{NullPermissions: true}), 1001}, opt)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		n, file, _, err := f.Root().Create(t.Context(), vfs.Root, "file", &vfs.SetAttr{Set: vfs.SetMode, Mode: 0}, vfs.OpenWrite)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		for _, c := range []struct {
			cred *vfs.Cred
			open vfs.Errno
			may  vfs.Access
		}{{alice, 0, vfs.AccessRead | vfs.AccessModify}, {bob, vfs.EACCES, vfs.AccessModify}} {
			if !own { // nobody may anything, by the mode
				c.open, c.may = vfs.EACCES, 0
			}
			opened, err := n.Open(t.Context(), c.cred, vfs.OpenRead)
			if vfs.ErrnoOf(err) != c.open {
				t.Errorf("own %v, user %d: %v, want %v", own, c.cred.UID, err, c.open)
			}
			if opened != nil {
				opened.Close()
			}
			may, err := n.Access(t.Context(), c.cred, vfs.AccessRead|vfs.AccessModify)
			if may != c.may || err != nil {
				t.Errorf("own %v, user %d may %x, want %x: %v", own, c.cred.UID, may, c.may, err)
			}
		}
	}
}
