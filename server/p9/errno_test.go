package p9

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"

	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/lock"
)

func TestErrorsAreNumbersThatProgramsKnow(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want vfs.Errno
	}{
		{vfs.ENOENT, vfs.ENOENT},
		{vfs.EDQUOT, vfs.EDQUOT},
		{vfs.EBADHANDLE, vfs.ESTALE},
		{vfs.Errno(512), vfs.EIO}, // ERESTARTSYS
		{vfs.Errno(0), vfs.EIO},
		{vfs.Errorf(vfs.ENOSPC, "disk"), vfs.ENOSPC},
		{fmt.Errorf("read: %w", syscall.EIO), vfs.EIO},
		{io.ErrUnexpectedEOF, vfs.EIO},
		{lock.ErrShareConflict, vfs.EACCES},
		{lock.ErrLeaseBreaking, vfs.EAGAIN},
		{lock.ErrReleased, syscall.EINTR},
		{context.Canceled, syscall.EINTR},
		{context.DeadlineExceeded, syscall.ETIMEDOUT},
		{errors.New("other"), vfs.EIO},
	} {
		if got := errnoOf(tt.err); got != tt.want {
			t.Errorf("%v is %d, want %d", tt.err, got, tt.want)
		}
	}
}
