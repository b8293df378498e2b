package rclone

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs"
)

// rclone removes a file from its cache when it cannot write what it knows of it.
// Nothing is begun on a disk that is nearly full, so that this does not come to
// pass; if something else fills the disk all the same, the ledger has the data.
const (
	roomToWrite = 16 << 20 // bytes that must be free to write
	roomToOpen  = 1 << 20  // to open a file that is not uploaded
)

// room fails with ENOSPC where the disk of the cache is too full for what is to
// be done with a file.
func (t *tree) room(name string, flag int) error {
	need := uint64(roomToWrite)
	if flag&(os.O_WRONLY|os.O_RDWR) == 0 {
		if !t.ledger.has(name) {
			return nil
		}
		need = roomToOpen
	}
	free, err := freeBytes(t.store.data)
	if err != nil {
		return err
	}
	if free < need {
		return refuse(vfs.ENOSPC, "the disk of the cache has %d bytes left; %d files wait to be uploaded", free, t.ledger.waiting())
	}
	return nil
}

// freeBytes is what is free where dir is.
func freeBytes(dir string) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return s.Bavail * uint64(s.Bsize), nil
}
