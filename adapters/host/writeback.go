package host

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs"
)

// writeBack is what the Files of a node share about data on its way to the
// storage.
//
// The kernel tells of a failed write-back once per open file description, by the
// error of the next call that waits for the storage (fsync(2)), and Files share
// descriptors. So of several such calls at once, one fails and the others
// succeed, though it may be their data that is lost. Here each ends only when
// the failures of those beside it are counted, and fails if there are any. The
// kernel's own server looks for errors from a point in time on
// (filemap_check_wb_err in nfsd_vfs_write and nfsd_commit), which user space
// cannot.
type writeBack struct {
	mu       sync.RWMutex // read: from a call until its failure is counted
	failures atomic.Uint64
}

// await runs a call that waits for the storage. lost tells that its error was
// that of a write-back, which call has counted for the file system.
func (w *writeBack) await(call func() (lost bool, err error)) error {
	before, err := w.beside(call)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failures.Load() != before {
		return vfs.Errorf(vfs.EIO, "data of the file was lost, as another call was told")
	}
	return nil
}

// beside runs a call beside others and returns how many had failed before it.
func (w *writeBack) beside(call func() (lost bool, err error)) (before uint64, err error) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	before = w.failures.Load()
	lost, err := call()
	if lost {
		w.failures.Add(1)
	}
	return before, err
}

// tellsOfLoss reports whether err, of a write or a sync, can be how the kernel
// tells that data written before is lost: it tells once, with what the device
// (blk_errors in block/blk-core.c: ENOSPC of a thin volume, ENODATA of a bad
// sector) or the server said. In doubt it can: a client that keeps its data for
// nothing sends it once more, one that drops it has lost it.
//
// A plain write to a local file system tells of nothing but itself, since it
// does not wait for the storage (waits). Its ENOSPC must not have every client
// send again all it has written. That to a network file system may tell of
// earlier ones (nfs_file_write).
func (k fsKind) tellsOfLoss(err error, waits bool) bool {
	if !waits && !k.remote {
		return false
	}
	switch vfs.ErrnoOf(err) {
	case 0, vfs.EAGAIN, vfs.EINVAL, vfs.ESTALE, unix.EBADF, unix.EFAULT, unix.EINTR:
		return false // of the call itself
	case vfs.EDQUOT, vfs.EFBIG:
		return k.remote // locally a write is told so before its data is taken
	}
	return true
}

// noteLoss changes the verifier if err tells of lost data.
func (f *FS) noteLoss(err error, waits bool) (lost bool) {
	if lost = f.kind.tellsOfLoss(err, waits); lost {
		f.writeBackFailed(err)
	}
	return lost
}

// writeBackFailed changes the verifier: the kernel drops the pages of a failed
// write-back (fsync(2)).
func (f *FS) writeBackFailed(err error) {
	f.log.Error().Err(err).Msg("the storage failed to take written data")
	f.failing.Lock() // the last count is kept last
	defer f.failing.Unlock()
	n := f.failures.Add(1)
	if f.state == nil {
		return
	}
	v := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, f.boot), n)
	if err := f.state.Put(failuresKey, v); err != nil {
		f.log.Error().Err(err).Msg("cannot keep the count of failed writes")
	}
}
