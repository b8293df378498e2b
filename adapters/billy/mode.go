package billy

import (
	"errors"
	"os"

	"github.com/go-git/go-billy/v5"

	"github.com/fsva/fsva/vfs"
)

// typeOf is the kind of a node by its os.FileMode.
func typeOf(m os.FileMode) vfs.FileType {
	switch {
	case m.IsRegular():
		return vfs.TypeRegular
	case m.IsDir():
		return vfs.TypeDirectory
	case m&os.ModeSymlink != 0:
		return vfs.TypeSymlink
	case m&os.ModeNamedPipe != 0:
		return vfs.TypeFIFO
	case m&os.ModeSocket != 0:
		return vfs.TypeSocket
	case m&os.ModeCharDevice != 0:
		return vfs.TypeChar
	case m&os.ModeDevice != 0:
		return vfs.TypeBlock
	}
	return vfs.TypeUnknown
}

// special are the bits that os.FileMode has elsewhere than stat(2).
var special = []struct {
	bit  uint32
	mode os.FileMode
}{{vfs.ModeSetUID, os.ModeSetuid}, {vfs.ModeSetGID, os.ModeSetgid}, {vfs.ModeSticky, os.ModeSticky}}

// modeOf is the twelve permission bits of an os.FileMode.
func modeOf(m os.FileMode) uint32 {
	bits := uint32(m.Perm())
	for _, s := range special {
		if m&s.mode != 0 {
			bits |= s.bit
		}
	}
	return bits
}

// fileMode is modeOf the other way round.
func fileMode(bits uint32) os.FileMode {
	m := os.FileMode(bits & 0o777)
	for _, s := range special {
		if bits&s.bit != 0 {
			m |= s.mode
		}
	}
	return m
}

// errnoOf turns what a billy.Filesystem returns into an error of the waist.
// An Errno in the chain is taken as it is.
func errnoOf(err error) error {
	var e vfs.Errno
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e):
		return err
	case errors.Is(err, os.ErrNotExist):
		return vfs.Errorf(vfs.ENOENT, "%v", err)
	case errors.Is(err, os.ErrExist):
		return vfs.Errorf(vfs.EEXIST, "%v", err)
	case errors.Is(err, os.ErrPermission), errors.Is(err, billy.ErrCrossedBoundary):
		return vfs.Errorf(vfs.EACCES, "%v", err)
	case errors.Is(err, billy.ErrReadOnly):
		return vfs.Errorf(vfs.EROFS, "%v", err)
	case unsupported(err):
		return vfs.Errorf(vfs.EOPNOTSUPP, "%v", err)
	}
	return vfs.Errorf(vfs.EIO, "%v", err)
}

// unsupported reports that the file system said that it cannot do this at all.
func unsupported(err error) bool {
	return errors.Is(err, billy.ErrNotSupported) || errors.Is(err, errors.ErrUnsupported)
}
