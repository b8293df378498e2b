package billy

import (
	"context"
	"errors"
	"os"
	"strconv"

	"github.com/fsva/fsva/adapters/billy/index"
	"github.com/fsva/fsva/vfs"
)

// mayRemove checks that cred may take child away from the directory: it must
// be writable, and where it is sticky one of the two must be the caller's
// (unlink(2)).
func (n *node) mayRemove(cred *vfs.Cred, dir, child place) error {
	if cred.UID == 0 {
		return nil
	}
	a, err := n.modes(dir)
	if err != nil {
		return err
	}
	if !vfs.Permit(cred, &a, mayWrite|mayExec) {
		return vfs.EACCES
	}
	if a.Mode&vfs.ModeSticky == 0 || cred.UID == a.UID {
		return nil
	}
	c, err := n.fs.node(child.Record).modes(child)
	if err == nil && cred.UID != c.UID {
		err = vfs.EPERM
	}
	return err
}

// Remove implements vfs.Node.
func (n *node) Remove(_ context.Context, cred *vfs.Cred, name string, dir bool) (vfs.DirChange, error) {
	ch, err := n.remove(cred, name, dir)
	if err == nil {
		err = n.fs.names.Commit()
	}
	return ch, err
}

func (n *node) remove(cred *vfs.Cred, name string, dir bool) (ch vfs.DirChange, err error) {
	f := n.fs
	f.tree.Lock()
	defer f.tree.Unlock()
	at, err := n.directory()
	if err != nil {
		return ch, err
	}
	if err := n.permit(cred, at, mayExec); err != nil {
		return ch, err
	}
	p, _, err := f.child(at, name)
	if err != nil {
		return ch, err
	}
	if err := f.writable(); err != nil {
		return ch, err
	}
	if err := n.mayRemove(cred, at, p); err != nil {
		return ch, err
	}
	switch isDir := p.Type == vfs.TypeDirectory; {
	case isDir && !dir:
		return ch, vfs.EISDIR
	case !isDir && dir:
		return ch, vfs.ENOTDIR
	}
	removed, err := f.take(p)
	if err != nil {
		return ch, err
	}
	err = f.names.Update(func(tx *index.Tx) error {
		if err := f.unname(tx, index.Name{Dir: n.ino, Name: name}, removed); err != nil {
			return err
		}
		ch, err = f.entriesChanged(tx, n.ino)
		return err
	})
	return ch, err
}

// take removes what is at p.path, which is one of its names. A file that is
// open and has no other name goes to the graveyard instead, and removed says
// so. The tree is locked for writing.
func (f *FS) take(p place) (removed bool, err error) {
	if p.Type == vfs.TypeDirectory {
		if err := f.empty(p.path); err != nil {
			return false, err
		}
		return false, errnoOf(f.under.Remove(p.path))
	}
	if f.files.detach(p.Ino) && len(p.Names) == 1 {
		return true, f.entomb(p)
	}
	return false, errnoOf(f.under.Remove(p.path))
}

// entomb moves a file to the graveyard.
func (f *FS) entomb(p place) error {
	if err := f.under.MkdirAll(graveyard, 0o700); err != nil {
		return errnoOf(err)
	}
	return errnoOf(f.under.Rename(p.path, f.grave(p.Ino)))
}

// empty fails with ENOTEMPTY unless a directory is: billy does not say that
// Remove looks.
func (f *FS) empty(path string) error {
	entries, err := f.under.ReadDir(path)
	if err != nil {
		return errnoOf(err)
	}
	if len(entries) > 0 {
		return vfs.ENOTEMPTY
	}
	return nil
}

// unname takes a name out of the index after it was taken out of the file
// system.
func (f *FS) unname(tx *index.Tx, at index.Name, removed bool) error {
	e, ok, err := tx.Lookup(at)
	if err != nil || !ok {
		return err
	}
	r, err := tx.Node(e.Ino)
	if err != nil {
		return err
	}
	f.lists.remove(at.Dir, e.Cookie)
	tx.Unname(r, at)
	if len(r.Names) == 0 && !removed {
		f.files.forget(r.Ino)
		return tx.Forget(r)
	}
	r.Removed = removed
	f.changed(tx, r, false)
	return nil
}

// bury ends a file that was removed, if nobody has it open any more.
func (f *FS) bury(ino uint64) error {
	removed, err := f.removed(ino)
	if err != nil || !removed {
		return err
	}
	f.tree.Lock()
	defer f.tree.Unlock()
	if _, opened := f.files.find(ino); opened {
		return nil
	}
	if err := f.under.Remove(f.grave(ino)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return errnoOf(err)
	}
	return f.forget(ino)
}

// removed reports whether a node waits for its last Close. The lock is for a
// Remove that has found the file open and has yet to say so.
func (f *FS) removed(ino uint64) (removed bool, err error) {
	f.tree.RLock()
	defer f.tree.RUnlock()
	err = f.names.View(func(tx *index.Tx) error {
		r, err := tx.Node(ino)
		removed = err == nil && r.Removed
		if errors.Is(err, index.ErrUnknown) {
			return nil
		}
		return err
	})
	return removed, err
}

// cleanGraveyard ends what was open when the last process died. What is there
// for another reason, which is that it was in the way of a rename that did not
// come to its end, goes back to where it was.
func (f *FS) cleanGraveyard() error {
	graves, err := f.under.ReadDir(graveyard)
	if errors.Is(err, os.ErrNotExist) {
		graves, err = nil, nil
	}
	if err != nil {
		return err
	}
	for _, g := range graves {
		ino, err := strconv.ParseUint(g.Name(), 16, 64)
		if err != nil {
			continue // none of ours
		}
		if err := f.raise(ino); err != nil {
			return err
		}
	}
	f.levelGraveyard()
	return f.names.Update(func(tx *index.Tx) error {
		removed, err := tx.Removed()
		for _, r := range removed {
			err = errors.Join(err, tx.Forget(r))
		}
		return err
	})
}

// levelGraveyard removes the graveyard if it is empty. It is made again when it
// is needed.
func (f *FS) levelGraveyard() {
	if fi, err := f.under.Lstat(graveyard); err == nil && fi.IsDir() && f.empty(graveyard) == nil {
		_ = f.under.Remove(graveyard)
	}
}

// raise puts a file back whose name was not taken away, if the name is free,
// and removes any other.
func (f *FS) raise(ino uint64) error {
	var path string
	err := f.names.View(func(tx *index.Tx) error {
		r, err := tx.Node(ino)
		if err == nil && !r.Removed {
			path, err = f.path(tx, r)
		}
		if errors.Is(err, index.ErrUnknown) {
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	if path != "" {
		if _, err := f.under.Lstat(path); errors.Is(err, os.ErrNotExist) {
			return f.under.Rename(f.grave(ino), path)
		}
	}
	return f.under.Remove(f.grave(ino))
}
