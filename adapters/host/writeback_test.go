package host

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs"
)

func TestErrorsThatTellOfLostData(t *testing.T) {
	type when struct{ local, localWait, remote, remoteWait bool }
	never, always := when{}, when{localWait: true, remote: true, remoteWait: true}
	remote := when{remote: true, remoteWait: true}
	for err, want := range map[error]when{
		vfs.EIO:         always,
		vfs.ENOSPC:      always,
		vfs.ENODATA:     always,
		unix.ETIMEDOUT:  always,
		unix.EREMOTEIO:  always,
		unix.EILSEQ:     always,
		vfs.EROFS:       always,
		vfs.EDQUOT:      remote,
		vfs.EFBIG:       remote,
		vfs.ESTALE:      never,
		vfs.EAGAIN:      never,
		vfs.EINVAL:      never,
		unix.EINTR:      never,
		unix.EBADF:      never,
		unix.EFAULT:     never,
		error(nil):      never,
		os.ErrClosed:    always,
		vfs.Errno(4711): always,
	} {
		local, net := fsKind{}, fsKind{remote: true}
		got := when{
			local.tellsOfLoss(err, false), local.tellsOfLoss(err, true),
			net.tellsOfLoss(err, false), net.tellsOfLoss(err, true),
		}
		if got != want {
			t.Errorf("%v: %+v, want %+v", err, got, want)
		}
	}
}

func TestFailedWriteBackFailsTheCallsBeside(t *testing.T) {
	fails := func() (bool, error) { return true, vfs.ENOSPC }
	works := func() (bool, error) { return false, nil }
	var w writeBack
	under, over, done := make(chan bool), make(chan bool), make(chan error)
	go func() {
		done <- w.await(func() (bool, error) {
			close(under)
			<-over
			return false, nil
		})
	}()
	<-under
	wantErr(t, "the call that was told", w.await(fails), vfs.ENOSPC)
	close(over)
	wantErr(t, "the call beside it", <-done, vfs.EIO)
	wantErr(t, "a later call", w.await(works), 0)
	wantErr(t, "a call that fails by itself", w.await(func() (bool, error) { return false, vfs.EFBIG }), vfs.EFBIG)
	wantErr(t, "one after it", w.await(works), 0)
}

// The kernel has told one call of the failure and lets the other succeed before
// the first has counted it.
func TestSyncDoesNotOvertakeTheCountOfAFailure(t *testing.T) {
	var w writeBack
	told, returned := make(chan bool), make(chan bool)
	var wg sync.WaitGroup
	wg.Go(func() {
		w.await(func() (bool, error) {
			close(told)
			<-returned
			return true, vfs.EIO
		})
	})
	<-told
	err := w.await(func() (bool, error) {
		close(returned)
		return false, nil
	})
	wantErr(t, "the other call", err, vfs.EIO)
	wg.Wait()
}

func TestCountOfFailuresIsKeptInOrder(t *testing.T) {
	state := &memoryBucket{}
	dir := t.TempDir()
	fs := serve(t, dir, Options{State: state})
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() { fs.writeBackFailed(fmt.Errorf("test %d", i)) })
	}
	wg.Wait()
	if again := serve(t, dir, Options{State: state}).WriteVerifier(); again != fs.WriteVerifier() {
		t.Error("after a restart the verifier is one of before")
	}
}

func TestNoRoomForAWriteIsNoLossOfOthers(t *testing.T) {
	fs := serve(t, mountTmpfs(t, "1m"), Options{})
	_, f := create(t, fs.Root(), "big")
	defer f.Close()
	before := fs.WriteVerifier()
	_, _, err := f.WriteAt(ctx, make([]byte, 4<<20), 0, vfs.Unstable)
	wantErr(t, "write", err, vfs.ENOSPC)
	if fs.WriteVerifier() != before {
		t.Error("the verifier has changed")
	}
}

// TestStableWriteDoesNotHideALoss has one client write unstably to a disk that
// then fails, and another be told of that by a stable write to the same file.
func TestStableWriteDoesNotHideALoss(t *testing.T) {
	dir := mountThin(t)
	fs := serve(t, dir, Options{})
	n, f := create(t, fs.Root(), "file")
	defer f.Close()
	before := fs.WriteVerifier()
	if _, _, err := f.WriteAt(ctx, bytes.Repeat([]byte("lost"), 8<<20), 0, vfs.Unstable); err != nil {
		t.Fatal(err)
	}
	// Somebody else has the kernel write back, as it would by itself some time.
	local := must[*os.File](t)(os.Open(filepath.Join(dir, "file")))
	defer local.Close()
	if err := local.Sync(); err == nil {
		t.Skip("the storage has taken more than it has")
	}
	g := must[vfs.File](t)(n.Open(ctx, vfs.Root, vfs.OpenRead|vfs.OpenWrite))
	defer g.Close()
	_, _, err := g.WriteAt(ctx, []byte("x"), 0, vfs.FileSync)
	if err == nil {
		t.Fatal("the kernel has not told of the loss")
	}
	t.Logf("the stable write was told: %v", err)
	if err := f.Sync(ctx, true); err == nil && fs.WriteVerifier() == before {
		t.Error("the data is lost, COMMIT says that it is not")
	}
}
