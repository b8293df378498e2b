package billy

import (
	"context"
	"errors"
	"os"

	"github.com/fsva/fsva/adapters/billy/index"
	"github.com/fsva/fsva/vfs"
)

// move is a rename on its way.
type move struct {
	from, to         place // the directories
	oldName, newName string
	node, target     place // target.Record is nil if there is none
}

// Rename implements vfs.Node.
func (n *node) Rename(_ context.Context, cred *vfs.Cred, oldName string, newDir vfs.Node, newName string, flags vfs.RenameFlags) (from, to vfs.DirChange, err error) {
	dst, ok := newDir.(*node)
	if !ok || dst.fs != n.fs {
		return from, to, vfs.EXDEV
	}
	from, to, err = n.rename(cred, oldName, dst, newName, flags)
	if err == nil {
		err = n.fs.names.Commit()
	}
	return from, to, err
}

func (n *node) rename(cred *vfs.Cred, oldName string, dst *node, newName string, flags vfs.RenameFlags) (from, to vfs.DirChange, err error) {
	f := n.fs
	f.tree.Lock()
	defer f.tree.Unlock()
	m, err := n.renamed(cred, oldName, dst, newName)
	if err != nil {
		return from, to, err
	}
	if err := f.writable(); err != nil {
		return from, to, err
	}
	switch {
	case m.target.Record != nil && flags&vfs.RenameNoReplace != 0:
		return from, to, vfs.EEXIST
	case m.target.Record != nil && m.target.Ino == m.node.Ino: // rename(2): nothing happens
		return f.unchanged(m.from), f.unchanged(m.to), nil
	}
	if err := n.mayRename(cred, dst, m); err != nil {
		return from, to, err
	}
	return f.carryOut(m)
}

// unchanged is the DirChange of an operation that has done nothing.
func (f *FS) unchanged(dir place) vfs.DirChange {
	c := max(dir.Change, f.names.Floor())
	return vfs.DirChange{Before: c, After: c, Atomic: true}
}

// renamed finds what a rename is about, and refuses one of which one end lies
// within the other.
func (n *node) renamed(cred *vfs.Cred, oldName string, dst *node, newName string) (m *move, err error) {
	f := n.fs
	m = &move{oldName: oldName, newName: newName}
	if m.from, err = n.directory(); err != nil {
		return nil, err
	}
	if m.to, err = dst.directory(); err != nil {
		return nil, err
	}
	if _, err := dst.lstat(m.to); err != nil { // billy's Rename would make it
		return nil, err
	}
	if err := errors.Join(n.permit(cred, m.from, mayExec), dst.permit(cred, m.to, mayExec)); err != nil {
		return nil, err
	}
	if hidden(dst.ino, newName) {
		return nil, vfs.EPERM
	}
	if m.node, _, err = f.child(m.from, oldName); err != nil {
		return nil, err
	}
	m.target, _, err = f.child(m.to, newName)
	if vfs.ErrnoOf(err) == vfs.ENOENT {
		m.target = place{path: f.join(m.to.path, newName)}
	} else if err != nil {
		return nil, err
	}
	return m, f.names.View(func(tx *index.Tx) error {
		if in, err := tx.Within(m.to.Ino, m.node.Ino); err != nil || in {
			return orElse(err, vfs.EINVAL)
		}
		if m.target.Record == nil {
			return nil
		}
		if in, err := tx.Within(m.from.Ino, m.target.Ino); err != nil || in {
			return orElse(err, vfs.ENOTEMPTY)
		}
		return nil
	})
}

func orElse(err, or error) error {
	if err != nil {
		return err
	}
	return or
}

// mayRename checks permissions and kinds.
func (n *node) mayRename(cred *vfs.Cred, dst *node, m *move) error {
	if err := n.mayRemove(cred, m.from, m.node); err != nil {
		return err
	}
	isDir := m.node.Type == vfs.TypeDirectory
	if m.target.Record == nil {
		if err := dst.permit(cred, m.to, mayWrite|mayExec); err != nil {
			return err
		}
	} else {
		if err := dst.mayRemove(cred, m.to, m.target); err != nil {
			return err
		}
		switch targetDir := m.target.Type == vfs.TypeDirectory; {
		case isDir && !targetDir:
			return vfs.ENOTDIR
		case !isDir && targetDir:
			return vfs.EISDIR
		case targetDir:
			if err := n.fs.empty(m.target.path); err != nil {
				return err
			}
		}
	}
	if !isDir || n.ino == dst.ino {
		return nil
	}
	return n.fs.node(m.node.Record).permit(cred, m.node, mayWrite) // its ".." is written
}

// carryOut does a rename that may be. What it is about is noted durably first:
// should the process die between the file system's part and the index's, all
// below a directory would have lost its numbers otherwise.
func (f *FS) carryOut(m *move) (from, to vfs.DirChange, err error) {
	old, new := index.Name{Dir: m.from.Ino, Name: m.oldName}, index.Name{Dir: m.to.Ino, Name: m.newName}
	if f.opt.State != "" {
		err := f.names.Update(func(tx *index.Tx) error {
			tx.SetMove(&index.Move{Ino: m.node.Ino, From: old, To: new})
			return nil
		})
		if err == nil {
			err = f.names.Commit()
		}
		if err != nil {
			return from, to, err
		}
	}
	if err := f.detachBelow(m.node); err != nil {
		return from, to, err
	}
	removed, failed := f.replace(m)
	err = f.names.Update(func(tx *index.Tx) error {
		tx.SetMove(nil)
		if failed != nil {
			return nil
		}
		if m.target.Record != nil {
			if err := f.unname(tx, new, removed); err != nil {
				return err
			}
		}
		return f.renameInIndex(tx, m.node.Ino, old, new)
	})
	if err = errors.Join(failed, err); err != nil {
		return from, to, err
	}
	err = f.names.Update(func(tx *index.Tx) (err error) {
		if from, err = f.entriesChanged(tx, m.from.Ino); err != nil {
			return err
		}
		if to = from; m.from.Ino != m.to.Ino {
			to, err = f.entriesChanged(tx, m.to.Ino)
		}
		return err
	})
	return from, to, err
}

// detachBelow closes the files that are open below what is about to move.
func (f *FS) detachBelow(p place) error {
	for _, b := range f.files.all() {
		in := false
		err := f.names.View(func(tx *index.Tx) (err error) {
			in, err = tx.Within(b.ino, p.Ino)
			return err
		})
		if err != nil && !errors.Is(err, index.ErrUnknown) {
			return err
		}
		if in {
			f.files.detach(b.ino)
		}
	}
	return nil
}

// replace does the file system's part. A target that is open goes to the
// graveyard (removed), one that the file system does not replace is put there
// for the moment. Between the two steps the new name leads nowhere for those
// who look past this adapter, and after a crash until the next start.
func (f *FS) replace(m *move) (removed bool, err error) {
	if m.target.Record == nil {
		return false, errnoOf(f.under.Rename(m.node.path, m.target.path))
	}
	if m.target.Type == vfs.TypeDirectory {
		if err := f.under.Remove(m.target.path); err != nil {
			return false, errnoOf(err)
		}
		err := f.under.Rename(m.node.path, m.target.path)
		if err != nil {
			_ = f.under.MkdirAll(m.target.path, 0o700) // as it was, as far as can be
		}
		return false, errnoOf(err)
	}
	removed = f.files.detach(m.target.Ino) && len(m.target.Names) == 1
	if !removed {
		err := f.under.Rename(m.node.path, m.target.path)
		if err == nil || !f.there(m.node.path) || !f.there(m.target.path) {
			return false, errnoOf(err)
		}
	}
	if err := f.entomb(m.target); err != nil {
		return false, err
	}
	if err := f.under.Rename(m.node.path, m.target.path); err != nil {
		return false, errors.Join(errnoOf(err), errnoOf(f.under.Rename(f.grave(m.target.Ino), m.target.path)))
	}
	if removed {
		return true, nil
	}
	// It has been replaced: what fails here leaves a file to the next start.
	_ = f.under.Remove(f.grave(m.target.Ino))
	return false, nil
}

func (f *FS) there(path string) bool {
	_, err := f.under.Lstat(path)
	return err == nil
}

// renameInIndex gives a node another name, which is free.
func (f *FS) renameInIndex(tx *index.Tx, ino uint64, old, new index.Name) error {
	r, err := tx.Node(ino)
	if err != nil {
		return err
	}
	if e, ok, err := tx.Lookup(old); err != nil {
		return err
	} else if ok {
		f.lists.remove(old.Dir, e.Cookie)
	}
	tx.Unname(r, old)
	e, err := tx.Name(r, new)
	if err != nil {
		return err
	}
	f.changed(tx, r, false)
	f.lists.add(new.Dir, item{Entry: e, name: new.Name, typ: r.Type})
	return nil
}

// finishMove ends the rename that a crash cut short: if the file system did
// its part, the index does its own.
func (f *FS) finishMove() error {
	var m *index.Move
	var from, to string
	err := f.names.View(func(tx *index.Tx) (err error) {
		if m, err = tx.Move(); err != nil || m == nil {
			return err
		}
		if from, err = f.pathOf(tx, m.From); err == nil {
			to, err = f.pathOf(tx, m.To)
		}
		return err
	})
	if errors.Is(err, index.ErrUnknown) { // a directory of it is gone
		m, err = &index.Move{}, nil
	}
	if err != nil || m == nil {
		return err
	}
	moved := false
	if m.Ino != 0 {
		_, gone := f.under.Lstat(from)
		_, err := f.under.Lstat(to)
		moved = errors.Is(gone, os.ErrNotExist) && err == nil
	}
	return f.names.Update(func(tx *index.Tx) error {
		tx.SetMove(nil)
		if !moved {
			return nil
		}
		if err := f.unname(tx, m.To, false); err != nil {
			return err
		}
		return f.renameInIndex(tx, m.Ino, m.From, m.To)
	})
}

func (f *FS) pathOf(tx *index.Tx, n index.Name) (string, error) {
	dir, err := tx.Node(n.Dir)
	if err != nil {
		return "", err
	}
	path, err := f.path(tx, dir)
	return f.join(path, n.Name), err
}
