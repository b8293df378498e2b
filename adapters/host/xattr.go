package host

import (
	"context"
	"errors"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs"
)

// Extended attributes go through the links in /proc, as their calls take no
// path descriptors. The kernel checks the caller's rights, which differ by
// namespace (xattr(7)).

// maxXattrList is the longest list of names (XATTR_LIST_MAX).
const maxXattrList = 64 << 10

// GetXattr implements vfs.Xattrer.
func (n *node) GetXattr(_ context.Context, cred *vfs.Cred, name string) ([]byte, error) {
	return n.readXattr(cred, vfs.MaxXattr, func(path string, buf []byte) (int, error) {
		return unix.Getxattr(path, name, buf)
	})
}

// ListXattr implements vfs.Xattrer.
func (n *node) ListXattr(_ context.Context, cred *vfs.Cred) ([]string, error) {
	list, err := n.readXattr(cred, maxXattrList, func(path string, buf []byte) (int, error) {
		return unix.Listxattr(path, buf)
	})
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(string(list), "\x00"), "\x00"), nil
}

// readXattr asks with a small buffer first: most values are short.
func (n *node) readXattr(cred *vfs.Cred, most int, read func(path string, buf []byte) (int, error)) ([]byte, error) {
	desc, _, err := n.live(vfs.AttrType)
	if err != nil {
		return nil, err
	}
	defer desc.release()
	var value []byte
	err = n.fs.as(cred, func() error {
		buf := make([]byte, 256)
		size, err := read(procPath(desc.fd), buf)
		if errors.Is(err, unix.ERANGE) {
			buf = make([]byte, most)
			size, err = read(procPath(desc.fd), buf)
		}
		if err == nil {
			value = buf[:size:size]
		}
		return err
	})
	return value, err
}

// SetXattr implements vfs.Xattrer.
func (n *node) SetXattr(_ context.Context, cred *vfs.Cred, name string, value []byte, flags vfs.XattrFlags) error {
	return n.modifyXattr(cred, func(path string) error {
		return unix.Setxattr(path, name, value, int(flags))
	})
}

// RemoveXattr implements vfs.Xattrer.
func (n *node) RemoveXattr(_ context.Context, cred *vfs.Cred, name string) error {
	return n.modifyXattr(cred, func(path string) error { return unix.Removexattr(path, name) })
}

func (n *node) modifyXattr(cred *vfs.Cred, change func(path string) error) error {
	return n.modify(func(desc *descriptor) error {
		return n.fs.as(cred, func() error {
			_, err := retry(func() (int, error) { return 0, change(procPath(desc.fd)) })
			return err
		})
	})
}
