package afero_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"

	spf "github.com/spf13/afero"

	"github.com/fsva/fsva/adapters/afero"
	"github.com/fsva/fsva/adapters/billy"
	"github.com/fsva/fsva/vfs"
)

// cloud has files whose Sync does nothing for their data, which Close uploads.
type cloud struct {
	spf.Fs
	syncs  int
	upload error
}

type uploading struct {
	spf.File
	of     *cloud
	buffer []byte
}

func (c *cloud) OpenFile(name string, flag int, perm os.FileMode) (spf.File, error) {
	f, err := c.Fs.OpenFile(name, flag, perm)
	if err != nil || flag&(os.O_WRONLY|os.O_RDWR) == 0 {
		return f, err
	}
	return &uploading{File: f, of: c}, nil
}

func (u *uploading) WriteAt(p []byte, off int64) (int, error) {
	u.buffer = append(u.buffer[:off], p...)
	return len(p), nil
}

func (u *uploading) Sync() error {
	u.of.syncs++
	return nil
}

func (u *uploading) Close() error {
	err := u.of.upload
	if err == nil && len(u.buffer) > 0 {
		_, err = u.File.WriteAt(u.buffer, 0)
	}
	return errors.Join(err, u.File.Close())
}

// written is a file that was written and not synced.
func written(t *testing.T, under spf.Fs) (*billy.FS, vfs.File) {
	t.Helper()
	fs, err := billy.New(afero.NewBilly(under, "/"), billy.Options{})
	check(t, err)
	t.Cleanup(func() { fs.Close() })
	_, f, _, err := fs.Root().Create(context.Background(), vfs.Root, "file", nil, vfs.OpenWrite)
	check(t, err)
	_, _, err = f.WriteAt(context.Background(), []byte("content"), 0, vfs.Unstable)
	check(t, err)
	return fs, f
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestSyncSendsWhatCloseUploads(t *testing.T) {
	under := &cloud{Fs: spf.NewMemMapFs()}
	_, f := written(t, under)
	check(t, f.Sync(context.Background(), true))
	got, err := spf.ReadFile(under.Fs, "/file")
	if err != nil || !bytes.Equal(got, []byte("content")) {
		t.Errorf("the cloud has %q, %v", got, err)
	}
	if under.syncs == 0 { // a wrapper's Sync may be the fsync of what it wraps
		t.Error("Sync of the file is not called")
	}
	check(t, f.Close())
}

func TestUploadThatFailsIsNotSynced(t *testing.T) {
	under := &cloud{Fs: spf.NewMemMapFs(), upload: vfs.ENOSPC}
	fs, f := written(t, under)
	before := fs.WriteVerifier()
	if err := f.Sync(context.Background(), true); vfs.ErrnoOf(err) != vfs.ENOSPC {
		t.Errorf("Sync: %v", err)
	}
	if fs.WriteVerifier() == before {
		t.Error("the verifier says that nothing was lost")
	}
	_ = f.Close()
}

// Closing a file of the kernel sends nothing anywhere: it is not opened anew.
func TestFilesOfTheKernelAreSyncedByFsync(t *testing.T) {
	under := afero.NewBilly(spf.NewOsFs(), t.TempDir())
	for _, flag := range []int{os.O_RDWR | os.O_CREATE, os.O_RDONLY} {
		f, err := under.OpenFile("file", flag, 0o600)
		check(t, err)
		if _, ok := f.(billy.Syncer); !ok {
			t.Error("a file of OsFs has no Sync")
		}
		check(t, f.Close())
	}
}
