package vfs

import "io/fs"

// TypeOf is the kind of a node by its fs.FileMode.
func TypeOf(m fs.FileMode) FileType {
	switch {
	case m.IsRegular():
		return TypeRegular
	case m.IsDir():
		return TypeDirectory
	case m&fs.ModeSymlink != 0:
		return TypeSymlink
	case m&fs.ModeNamedPipe != 0:
		return TypeFIFO
	case m&fs.ModeSocket != 0:
		return TypeSocket
	case m&fs.ModeCharDevice != 0:
		return TypeChar
	case m&fs.ModeDevice != 0:
		return TypeBlock
	}
	return TypeUnknown
}

// special are the bits that fs.FileMode has elsewhere than stat(2).
var special = [...]struct {
	bit  uint32
	mode fs.FileMode
}{{ModeSetUID, fs.ModeSetuid}, {ModeSetGID, fs.ModeSetgid}, {ModeSticky, fs.ModeSticky}}

// ModeOf is the twelve permission bits of an fs.FileMode.
func ModeOf(m fs.FileMode) uint32 {
	bits := uint32(m.Perm())
	for _, s := range special {
		if m&s.mode != 0 {
			bits |= s.bit
		}
	}
	return bits
}

// FileMode is ModeOf the other way round.
func FileMode(bits uint32) fs.FileMode {
	m := fs.FileMode(bits & 0o777)
	for _, s := range special {
		if bits&s.bit != 0 {
			m |= s.mode
		}
	}
	return m
}
