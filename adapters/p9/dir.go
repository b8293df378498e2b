package p9fs

import (
	"context"
	"io"
	"math"

	"github.com/hugelgupf/p9/p9"

	"github.com/fsva/fsva/vfs"
)

const (
	// cookieBase is added to offsets to make cookies, of which 0 to 2 are
	// reserved. Offset 0 is the start.
	cookieBase = 2
	// batch is the count of a Readdir: bytes to some file systems, entries
	// to others.
	batch = 16 << 10
)

// ReadDir implements vfs.Node. Cookies are the file system's offsets, and as
// good as these are where entries come and go. No lock is held while emit
// runs.
func (n *node) ReadDir(ctx context.Context, cred *vfs.Cred, cookie uint64, want vfs.AttrMask, emit func(*vfs.DirEntry) bool) (eof bool, err error) {
	if n.fs.opt.IndexOffsets {
		return n.readWhole(cred, cookie, want, emit)
	}
	offset := uint64(0)
	if cookie != 0 {
		if cookie <= cookieBase {
			return false, vfs.EINVAL
		}
		offset = cookie - cookieBase
	}
	for ctx.Err() == nil {
		entries, err := n.readBatch(cred, offset)
		if err != nil || len(entries) == 0 {
			return err == nil, err
		}
		for i := range entries {
			e := &entries[i]
			if offset = e.Offset; offset == 0 || offset > math.MaxUint64-cookieBase {
				return false, errBroken
			}
			if vfs.CheckName(e.Name) != nil { // "." and "..", and what no client may see
				continue
			}
			d, err := n.dirEntry(e, offset+cookieBase, want)
			if err != nil {
				return false, err
			}
			if !emit(d) {
				return false, nil
			}
		}
	}
	return false, ctx.Err()
}

// behind drops the entry that some file systems give once more where they are
// to resume behind it.
func behind(entries p9.Dirents, offset uint64) p9.Dirents {
	for offset != 0 && len(entries) > 0 && entries[0].Offset == offset {
		entries = entries[1:]
	}
	return entries
}

// readBatch reads entries behind an offset.
func (n *node) readBatch(cred *vfs.Cred, offset uint64) (entries p9.Dirents, err error) {
	err = n.shared(func(h *held) error {
		if _, err := h.search(cred, mayRead); err != nil {
			return err
		}
		entries, err = h.readdir(offset)
		return err
	})
	return entries, err
}

// readdir reads entries behind an offset. It does so through a File opened for
// it, because some file systems count from where the last Readdir ended.
func (h *held) readdir(offset uint64) (p9.Dirents, error) {
	f, err := h.open(p9.ReadOnly)
	if err != nil {
		return nil, err
	}
	defer f.unref()
	entries, err := f.file.Readdir(offset, batch)
	if err == io.EOF || len(entries) > 0 { // a lasting error comes again
		err = nil
	}
	return behind(entries, offset), errno(err)
}

// entryTypes are those of the QID types that say it all.
var entryTypes = map[p9.QIDType]vfs.FileType{
	p9.TypeDir:     vfs.TypeDirectory,
	p9.TypeSymlink: vfs.TypeSymlink,
}

// dirEntry makes an entry as ReadDir emits it. The error is one of the
// directory.
func (n *node) dirEntry(e *p9.Dirent, cookie uint64, want vfs.AttrMask) (*vfs.DirEntry, error) {
	d := &vfs.DirEntry{Name: e.Name, Cookie: cookie, FileID: e.QID.Path, Type: entryTypes[e.QID.Type]}
	known := vfs.AttrFileID
	if d.Type != vfs.TypeUnknown {
		known |= vfs.AttrType
	}
	if want&^known == 0 {
		d.Attr = vfs.Attr{Valid: known, Type: d.Type, FileID: d.FileID}
		return d, nil
	}
	return d, n.shared(func(h *held) error {
		child, err := h.walk(e.Name)
		if err != nil {
			d.Err = err
			return nil
		}
		defer child.release()
		child.op.RLock()
		defer child.op.RUnlock()
		if d.Attr, d.Err = child.attr(); d.Err == nil {
			d.Type, d.FileID, d.Node = d.Attr.Type, d.Attr.FileID, child.node
		}
		return nil
	})
}
