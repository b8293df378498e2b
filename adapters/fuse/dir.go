package fusefs

import (
	"cmp"
	"context"
	"hash/maphash"
	"math"
	"slices"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/fsva/fsva/vfs"
)

const (
	// cookieBase is added to offsets to make cookies, of which 0 to 2 are
	// reserved. Offset 0 is the start.
	cookieBase = 2
	// batch is the size of a READDIR or READDIRPLUS, as the kernel has it.
	batch = 32 << 10
)

// listed is an entry of a directory. found is nil but for READDIRPLUS.
type listed struct {
	cookie uint64
	fuse.DirEntry
	found *held
}

// ReadDir implements vfs.Node. Cookies are the file system's offsets, and as
// good as these are where entries come and go. No lock is held while emit
// runs.
func (n *node) ReadDir(ctx context.Context, cred *vfs.Cred, cookie uint64, want vfs.AttrMask, emit func(*vfs.DirEntry) bool) (eof bool, err error) {
	if n.fs.opt.IndexOffsets {
		return n.readWhole(ctx, cred, cookie, want, emit)
	}
	offset := uint64(0)
	if cookie != 0 {
		if cookie <= cookieBase {
			return false, vfs.EINVAL
		}
		offset = cookie - cookieBase
	}
	for ctx.Err() == nil {
		entries, next, err := n.readBatch(ctx, cred, offset, plus(want))
		if err != nil || next == offset {
			return err == nil, err
		}
		offset = next
		if more, err := n.emitAll(ctx, cred, entries, want, emit); !more || err != nil {
			return false, err
		}
	}
	return false, ctx.Err()
}

// plus reports whether entries are to come with their nodes.
func plus(want vfs.AttrMask) bool { return want&^(vfs.AttrType|vfs.AttrFileID) != 0 }

// emitAll emits entries until emit has enough, and gives all of them back.
func (n *node) emitAll(ctx context.Context, cred *vfs.Cred, entries []listed, want vfs.AttrMask, emit func(*vfs.DirEntry) bool) (more bool, err error) {
	defer func() {
		for i := range entries {
			if entries[i].found != nil {
				entries[i].found.release()
			}
		}
	}()
	for i := range entries {
		d, err := n.dirEntry(ctx, cred, &entries[i], want)
		if err != nil {
			return false, err
		}
		if !emit(d) {
			return false, nil
		}
	}
	return true, nil
}

// readBatch opens the directory, reads entries behind an offset and says how far
// it came.
func (n *node) readBatch(ctx context.Context, cred *vfs.Cred, offset uint64, plus bool) (entries []listed, next uint64, err error) {
	err = n.shared(ctx, func(h *held) error {
		if _, err := h.search(cred, mayRead); err != nil {
			return err
		}
		return h.openDir(cred, func(fh uint64) (err error) {
			entries, next, err = h.readdir(cred, fh, offset, plus)
			return err
		})
	})
	return entries, next, err
}

// openDir calls do with the directory open. Without OPENDIR there is no handle.
func (h *held) openDir(cred *vfs.Cred, do func(fh uint64) error) error {
	fs := h.fs
	in := fuse.OpenIn{InHeader: fs.header(cred, h.entry)}
	var out fuse.OpenOut
	err := fs.call(func() fuse.Status { return fs.raw.OpenDir(cancel(h.ctx), &in, &out) })
	switch {
	case err == notImplemented:
		return do(0)
	case err != nil:
		return gone(err)
	}
	defer func() {
		in := fuse.ReleaseIn{InHeader: fs.header(cred, h.entry), Fh: out.Fh}
		_ = fs.call(func() fuse.Status { fs.raw.ReleaseDir(&in); return fuse.OK }) // a panic is logged
	}()
	return do(out.Fh)
}

// readdir reads entries behind an offset.
func (h *held) readdir(cred *vfs.Cred, fh, offset uint64, plus bool) (entries []listed, next uint64, err error) {
	fs := h.fs
	in := fuse.ReadIn{InHeader: fs.header(cred, h.entry), Fh: fh, Offset: offset, Size: batch}
	list := fuse.NewDirEntryList(make([]byte, batch), offset)
	if plus {
		err = fs.call(func() fuse.Status { return fs.raw.ReadDirPlus(cancel(h.ctx), &in, list) })
	}
	if !plus || err == notImplemented {
		plus = false
		err = fs.call(func() fuse.Status { return fs.raw.ReadDir(cancel(h.ctx), &in, list) })
	}
	if err != nil {
		return nil, offset, gone(err)
	}
	var all []fuse.DirEntry
	var outs []fuse.EntryOut
	if plus {
		all, outs, err = fuse.ParseDirLookupEntries(list.Bytes())
	} else {
		all, err = fuse.ParseDirEntries(list.Bytes())
	}
	if err != nil {
		return nil, offset, errBroken
	}
	next = offset
	for i := range all {
		l := listed{DirEntry: all[i]}
		if plus && outs[i].NodeId != 0 { // looked up, so it must be given back
			if l.found, err = h.met(&outs[i]); err != nil {
				continue
			}
		}
		if next = l.Off; next == 0 || next > math.MaxUint64-cookieBase {
			err = errBroken
		}
		l.cookie = next + cookieBase
		if err == nil && vfs.CheckName(l.Name) == nil { // not "." and "..", nor what no client may see
			entries = append(entries, l)
		} else if l.found != nil {
			l.found.release()
		}
	}
	if err != nil {
		for _, l := range entries {
			if l.found != nil {
				l.found.release()
			}
		}
		return nil, offset, err
	}
	return entries, next, nil
}

// dirEntry makes an entry as ReadDir emits it. The error is one of the
// directory.
func (n *node) dirEntry(ctx context.Context, cred *vfs.Cred, l *listed, want vfs.AttrMask) (*vfs.DirEntry, error) {
	d := &vfs.DirEntry{Name: l.Name, Cookie: l.cookie, FileID: l.Ino, Type: kindOf(l.Mode)}
	if d.FileID == fuse.FUSE_UNKNOWN_INO {
		d.FileID = 0
	}
	known := vfs.AttrMask(0)
	if d.Type != vfs.TypeUnknown {
		known |= vfs.AttrType
	}
	if d.FileID != 0 {
		known |= vfs.AttrFileID
	}
	if want&^known == 0 {
		d.Attr = vfs.Attr{Valid: known, Type: d.Type, FileID: d.FileID}
		return d, nil
	}
	child := l.found
	if child == nil {
		err := n.shared(ctx, func(h *held) error {
			child, d.Err = h.walk(cred, l.Name)
			return nil
		})
		if err != nil || d.Err != nil {
			return d, err
		}
		defer child.release()
	}
	child.op.RLock()
	defer child.op.RUnlock()
	if d.Attr, d.Err = child.attr(); d.Err == nil {
		d.Type, d.FileID, d.Node = d.Attr.Type, d.Attr.FileID, child.node
	}
	return d, nil
}

// readWhole is ReadDir for file systems whose offsets are indexes: it reads
// all entries and emits them in the order of a hash of their names, which stays
// the same while others come and go.
func (n *node) readWhole(ctx context.Context, cred *vfs.Cred, cookie uint64, want vfs.AttrMask, emit func(*vfs.DirEntry) bool) (eof bool, err error) {
	var all []listed
	err = n.shared(ctx, func(h *held) error {
		if _, err := h.search(cred, mayRead); err != nil {
			return err
		}
		return h.openDir(cred, func(fh uint64) error {
			for offset := uint64(0); ; {
				entries, next, err := h.readdir(cred, fh, offset, false)
				switch {
				case err != nil || next == offset:
					return err
				case next < offset: // no index, and perhaps without end
					return errBroken
				}
				all, offset = append(all, entries...), next
			}
		})
	})
	if err != nil {
		return false, err
	}
	n.fs.order(all)
	all = all[:len(slices.CompactFunc(all, func(a, b listed) bool { return a.Name == b.Name }))]
	for i := 1; i < len(all); i++ {
		all[i].cookie = max(all[i].cookie, all[i-1].cookie+1)
	}
	first, _ := slices.BinarySearchFunc(all, cookie+1, func(l listed, c uint64) int { return cmp.Compare(l.cookie, c) })
	return n.emitAll(ctx, cred, all[first:], want, emit)
}

// order gives entries cookies that are hashes, but no reserved numbers, and
// sorts by them.
func (f *FS) order(all []listed) {
	for i := range all {
		all[i].cookie = max(maphash.String(f.seed, all[i].Name)>>1, cookieBase+1)
	}
	slices.SortFunc(all, func(a, b listed) int {
		return cmp.Or(cmp.Compare(a.cookie, b.cookie), cmp.Compare(a.Name, b.Name))
	})
}
