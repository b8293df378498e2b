package rclone

import (
	"sync/atomic"

	"github.com/fsva/fsva/vfs"
)

// MaxLate is how many late calls there may be.
const MaxLate = maxLate

// Late is how many calls of a file system nobody waits for any more.
func Late(f vfs.FS) *atomic.Int32 { return &f.(*FS).tree.patience.late }
