// Package iso9660 reads ISO 9660 images as a tree of package tree: with Rock
// Ridge, or with Joliet names, or as the standard has it (ECMA-119). All
// directories are read once, to index them; files lie in the image as they are.
//
// What is read is hostile. A directory is read once, whatever leads to it, so that
// loops end, and all together have no more bytes than the image. The sections of
// files are bounded, as is the chain of continued system use areas of one record.
package iso9660

import (
	"context"
	"encoding/binary"
	"io"

	"github.com/rs/zerolog"

	"github.com/fsva/fsva/adapters/image/disk"
	"github.com/fsva/fsva/adapters/tree"
	"github.com/fsva/fsva/vfs"
)

var le = binary.LittleEndian

const (
	sectorSize  = 2048
	firstVolume = 16 * sectorSize // the first volume descriptor
	maxVolumes  = 64
)

// Types of volume descriptors (ECMA-119 §8.1.1).
const (
	primary       = 1
	supplementary = 2
	terminator    = 255
)

// Probe reports whether the start of a device, at least 34 KiB of it, is that of
// an ISO 9660 volume.
func Probe(start []byte) bool {
	return len(start) >= firstVolume+sectorSize && string(start[firstVolume+1:firstVolume+6]) == "CD001"
}

// Options say what a file system is served as.
type Options struct {
	Fingerprint tree.Fingerprint
	Log         zerolog.Logger
	// Closer is closed with the FS.
	Closer io.Closer
}

// volume is an image that is being indexed.
type volume struct {
	dev       io.ReaderAt
	size      int64
	blockSize int64
	names     naming
	skip      int             // bytes before the Rock Ridge fields of a record
	files     [][]disk.Extent // nil is a file that cannot be read
	sections  int             // of all files
	b         *tree.Builder
	seen      map[uint32]bool // directories, by where they are
	listed    int64           // bytes of directories
}

// Open opens the file system on a device of size bytes. If it fails the caller
// closes what opt has.
func Open(dev io.ReaderAt, size int64, opt Options) (*tree.FS, error) {
	v := &volume{dev: dev, size: size, b: tree.NewBuilder(tree.Options{Log: opt.Log}), seen: map[uint32]bool{}}
	root, err := v.readVolumes()
	if err != nil {
		return nil, err
	}
	e, err := v.rootEntry(root)
	if err != nil {
		return nil, err
	}
	if err := v.b.Add(e); err != nil {
		return nil, err
	}
	if err := v.directory("", root, 0); err != nil {
		return nil, err
	}
	return v.b.Build(&source{dev, v.files, opt.Closer}, opt.Fingerprint)
}

// readVolumes finds the root directory, and by which names to go: those of Rock
// Ridge, else of Joliet, else of the standard, as Linux chooses.
func (v *volume) readVolumes() (record, error) {
	var plain, joliet record
	for i := int64(0); i < maxVolumes; i++ {
		p := make([]byte, sectorSize)
		if err := disk.ReadFull(v.dev, p, firstVolume+i*sectorSize); err != nil {
			return nil, err
		}
		if string(p[1:6]) != "CD001" {
			return nil, disk.Corrupt("volume descriptor %d is none", i)
		}
		switch typ := p[0]; {
		case typ == primary && plain == nil:
			plain, v.blockSize = record(p[156:190]), int64(le.Uint16(p[128:]))
		case typ == supplementary && p[88] == '%' && p[89] == '/' && (p[90] == '@' || p[90] == 'C' || p[90] == 'E'):
			joliet = record(p[156:190])
		case typ == terminator:
			i = maxVolumes
		}
	}
	switch {
	case plain == nil:
		return nil, disk.Corrupt("there is no primary volume descriptor")
	case v.blockSize != 512 && v.blockSize != 1024 && v.blockSize != sectorSize:
		return nil, disk.Corrupt("blocks cannot have %d bytes", v.blockSize)
	}
	ridge, err := v.findRockRidge(plain)
	if err != nil {
		return nil, err
	}
	switch {
	case ridge:
		v.names = rockRidge
		return plain, nil
	case joliet != nil:
		v.names = inJoliet
		return joliet, nil
	}
	return plain, nil
}

// source is the content of files, by their numbers. It implements tree.Source.
type source struct {
	dev    io.ReaderAt
	files  [][]disk.Extent
	closer io.Closer
}

// Open implements tree.Source.
func (s *source) Open(_ context.Context, item uint64) (tree.Content, error) {
	if s.files[item] == nil {
		return nil, vfs.Errorf(vfs.EOPNOTSUPP, "the file is packed by zisofs or interleaved")
	}
	return disk.NewFile(s.dev, s.files[item]), nil
}

// Close implements tree.Source.
func (s *source) Close() error { return s.closer.Close() }
