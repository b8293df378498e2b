// Package zip serves a ZIP archive as a read-only file system, by archive/zip and
// the rules of package tree. Nothing is unpacked beforehand: a file that is
// stored is read where it lies, a deflated one through an unpack.Stream, of
// which the last few that were used are kept.
//
// What is taken from the archive is bounded: its list of files to 256 MiB, what
// is unpacked at a time to a few megabytes for each of those streams. A file that
// is said to be larger than deflate can make it is refused.
package zip

import (
	"archive/zip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/rs/zerolog"

	"github.com/fsva/fsva/adapters/tree"
	"github.com/fsva/fsva/vfs"
)

// maxList bounds what is read to get at the list of files, which takes several
// times that in memory.
const maxList = 256 << 20

// kind changes with how items are numbered.
const kind = "zip 1"

// Open opens an archive. The caller closes the FS.
func Open(path string, log zerolog.Logger) (vfs.FS, error) {
	file, err := tree.OpenFile(path, log)
	if err != nil {
		return nil, err
	}
	f, err := open(file, log)
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

func open(file *tree.File, log zerolog.Logger) (vfs.FS, error) {
	list := &bounded{ReaderAt: file, left: maxList}
	r, err := zip.NewReader(list, file.Size())
	switch {
	case list.left < 0:
		return nil, fmt.Errorf("the list of files in the archive is larger than %d bytes", maxList)
	case errors.Is(err, zip.ErrFormat):
		return nil, fmt.Errorf("this is no ZIP archive, or its end is missing: %w", err)
	case err != nil && !errors.Is(err, zip.ErrInsecurePath): // package tree leaves those out
		return nil, err
	}
	list.done = true
	s := newSource(file, r.File)
	b := tree.NewBuilder(tree.Options{Log: log, Time: file.Mtime()})
	refused, example := 0, ""
	for i := range r.File {
		e, why := s.entry(i)
		if why != "" {
			if refused++; refused == 1 {
				example = fmt.Sprintf("%.200q %s", r.File[i].Name, why)
			}
		}
		if err := b.Add(e); err != nil {
			return nil, err
		}
	}
	if refused > 0 {
		log.Warn().Int("files", refused).Str("example", example).Msg("files of an archive cannot be read, opening them fails")
	}
	fingerprint, err := file.Fingerprint(kind)
	if err != nil {
		return nil, err
	}
	return b.Build(s, fingerprint)
}

// bounded is a file of which only so much may be read until it is done.
type bounded struct {
	io.ReaderAt
	left int64
	done bool
}

func (b *bounded) ReadAt(p []byte, off int64) (int, error) {
	if b.done {
		return b.ReaderAt.ReadAt(p, off)
	}
	if b.left -= int64(len(p)); b.left < 0 {
		return 0, zip.ErrFormat
	}
	return b.ReaderAt.ReadAt(p, off)
}

// entry is a file of the archive as one of a tree, and why it cannot be read.
func (s *source) entry(i int) (e tree.Entry, why string) {
	f := s.files[i]
	e = tree.Entry{Path: f.Name, Item: uint64(i), Size: f.UncompressedSize64}
	if !f.Modified.IsZero() {
		e.Mtime = vfs.TimespecOf(f.Modified)
	}
	e.UID, e.GID = owner(f.Extra)
	e.Type, e.Mode, e.Rdev = kindOf(f)
	switch e.Type {
	case vfs.TypeRegular:
		why = flaw(f)
	case vfs.TypeSymlink:
		e.Target, why = s.target(i)
	}
	return e, why
}

// creators that have Unix modes (APPNOTE.TXT 4.4.2.2).
const (
	creatorUnix  = 3
	creatorMacOS = 19
)

// kindOf is what a file is and may. Archives of other systems than Unix have
// files that everybody may read.
func kindOf(f *zip.File) (vfs.FileType, uint32, vfs.Rdev) {
	mode := f.Mode()
	if creator := f.CreatorVersion >> 8; creator != creatorUnix && creator != creatorMacOS || mode == 0 {
		if mode.IsDir() || len(f.Name) > 0 && f.Name[len(f.Name)-1] == '/' {
			return vfs.TypeDirectory, 0o755, vfs.Rdev{}
		}
		return vfs.TypeRegular, 0o644, vfs.Rdev{}
	}
	switch typ := vfs.TypeOf(mode); typ {
	case vfs.TypeSymlink:
		return typ, 0o777, vfs.Rdev{}
	case vfs.TypeBlock, vfs.TypeChar:
		return vfs.TypeUnknown, 0, vfs.Rdev{} // nothing says which
	default:
		return typ, vfs.ModeOf(mode), vfs.Rdev{}
	}
}

// ownerTag is Info-ZIP's extra field "ux": version 1, then uid and gid, each
// behind its length.
const ownerTag = 0x7875

// owner is whose a file is, root's if nothing says so.
func owner(extra []byte) (uid, gid uint32) {
	for len(extra) >= 4 {
		tag, size := binary.LittleEndian.Uint16(extra), int(binary.LittleEndian.Uint16(extra[2:]))
		extra = extra[4:]
		if size > len(extra) {
			return 0, 0
		}
		field := extra[:size]
		extra = extra[size:]
		if tag != ownerTag || len(field) < 1 || field[0] != 1 {
			continue
		}
		uid, rest, ok := number(field[1:])
		gid, _, ok2 := number(rest)
		if ok && ok2 {
			return uid, gid
		}
	}
	return 0, 0
}

// number is a number behind its length.
func number(p []byte) (n uint32, rest []byte, ok bool) {
	if len(p) < 1 || int(p[0]) > len(p)-1 || p[0] > 8 {
		return 0, nil, false
	}
	var whole uint64
	for i := range int(p[0]) {
		whole |= uint64(p[1+i]) << (8 * i)
	}
	return uint32(whole), p[1+p[0]:], whole <= 1<<32-1
}

// target is where a symbolic link leads, which is the content of the file.
func (s *source) target(i int) (target, why string) {
	f := s.files[i]
	if why := flaw(f); why != "" || f.UncompressedSize64 > vfs.MaxSymlink {
		return "", why // and too long: package tree leaves it out
	}
	c, err := s.Open(context.Background(), uint64(i))
	if err != nil {
		return "", err.Error()
	}
	defer c.Close()
	p := make([]byte, f.UncompressedSize64)
	if err := c.ReadAt(context.Background(), p, 0); err != nil {
		return "", err.Error()
	}
	return string(p), ""
}
