package boot

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// resizeFS is EXT4_IOC_RESIZE_FS, _IOW('f', 16, __u64) (Linux,
// include/uapi/linux/ext4.h).
const resizeFS = 0x40086610

// resizeExt makes a mounted ext4 file system that many blocks large.
func resizeExt(root *os.File, blocks uint64) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, root.Fd(), resizeFS, uintptr(unsafe.Pointer(&blocks)))
	if errno != 0 {
		return errno
	}
	return nil
}
