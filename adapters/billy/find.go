package billy

import (
	"context"
	"errors"
	"os"

	"github.com/fsva/fsva/adapters/billy/index"
	"github.com/fsva/fsva/vfs"
)

// child finds a directory's entry in the file system and in the index, which
// gives it a number if it has none. ENOENT if there is none. The tree is
// locked. since must be committed before anybody may know the number.
func (f *FS) child(dir place, name string) (p place, since uint64, err error) {
	at := index.Name{Dir: dir.Ino, Name: name}
	p.path = f.join(dir.path, name)
	fi, err := f.lstat(p.path)
	if errors.Is(err, os.ErrNotExist) || hidden(dir.Ino, name) {
		if err := f.missing(at); err != nil {
			return p, 0, err
		}
		return p, 0, vfs.ENOENT
	}
	if err != nil {
		return p, 0, errnoOf(err)
	}
	r, e, err := f.identify(at, fi)
	p.Record = r
	return p, e.Since, err
}

// missing takes a name away that the file system does not have.
func (f *FS) missing(at index.Name) error {
	known := false
	err := f.names.View(func(tx *index.Tx) (err error) {
		_, known, err = tx.Lookup(at)
		return err
	})
	if err != nil || !known {
		return err
	}
	return f.names.Update(func(tx *index.Tx) error { return drop(tx, at) })
}

// drop takes a name away, and the node with it if it was the last.
func drop(tx *index.Tx, at index.Name) error {
	e, ok, err := tx.Lookup(at)
	if err != nil || !ok {
		return err
	}
	r, err := tx.Node(e.Ino)
	if err != nil {
		return err
	}
	tx.Unname(r, at)
	if len(r.Names) == 0 && !r.Removed {
		return tx.Forget(r)
	}
	return nil
}

// identify returns which node it is that the file system has under a name, and
// numbers it if it is new. The tree is locked.
func (f *FS) identify(at index.Name, fi os.FileInfo) (r *index.Record, e index.Entry, err error) {
	has := native(fi)
	err = f.names.View(func(tx *index.Tx) (err error) {
		r, e, err = known(tx, at, &has)
		return err
	})
	if err != nil || r != nil {
		return r, e, err
	}
	again, moved, err := f.recognise(&has)
	if err != nil {
		return nil, e, err
	}
	err = f.names.Update(func(tx *index.Tx) (err error) {
		if r, e, err = known(tx, at, &has); err != nil || r != nil { // another was faster
			return err
		}
		if again != 0 {
			r, e, err = rename(tx, again, at, moved)
			if !errors.Is(err, index.ErrUnknown) {
				return err
			}
		}
		r = &index.Record{Type: has.Type, Own: has.FileID, Seen: f.today(), Names: []index.Name{at}}
		e, err = tx.Add(r)
		return err
	})
	return r, e, err
}

// known returns the node that has a name, nil if none has or the file system
// has another there by now.
func known(tx *index.Tx, at index.Name, has *vfs.Attr) (*index.Record, index.Entry, error) {
	e, ok, err := tx.Lookup(at)
	if err != nil || !ok {
		return nil, e, err
	}
	r, err := tx.Node(e.Ino)
	if errors.Is(err, index.ErrUnknown) {
		return nil, e, nil
	}
	if err != nil || r.Type != has.Type || r.Own != 0 && has.FileID != 0 && r.Own != has.FileID {
		return nil, e, err
	}
	return r, e, nil
}

// recognise looks for a node that the file system's own number says it is: a
// further name of it, or (moved) the name that something else gave it.
func (f *FS) recognise(has *vfs.Attr) (ino uint64, moved bool, err error) {
	if has.FileID == 0 {
		return 0, false, nil
	}
	var path string
	var r *index.Record
	err = f.names.View(func(tx *index.Tx) (err error) {
		if r, err = tx.ByOwn(has.FileID); err != nil {
			return err
		}
		path, err = f.path(tx, r)
		return err
	})
	if errors.Is(err, index.ErrUnknown) || err == nil && (r.Type != has.Type || r.Removed) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	fi, err := f.lstat(path)
	if err != nil {
		return r.Ino, true, nil
	}
	there := native(fi)
	return r.Ino, there.FileID != has.FileID, nil
}

// rename gives a node a further name or, if it was moved, another.
func rename(tx *index.Tx, ino uint64, at index.Name, moved bool) (*index.Record, index.Entry, error) {
	r, err := tx.Node(ino)
	if err != nil {
		return nil, index.Entry{}, err
	}
	if moved {
		for _, old := range r.Names {
			tx.Unname(r, old)
		}
	}
	e, err := tx.Name(r, at)
	return r, e, err
}

// Lookup implements vfs.Node.
func (n *node) Lookup(_ context.Context, cred *vfs.Cred, name string) (vfs.Node, error) {
	child, since, err := n.lookup(cred, name)
	if err == nil {
		err = n.fs.names.CommitTo(since)
	}
	if err != nil {
		return nil, err
	}
	return child, nil
}

func (n *node) lookup(cred *vfs.Cred, name string) (child *node, since uint64, err error) {
	n.fs.tree.RLock()
	defer n.fs.tree.RUnlock()
	dir, err := n.directory()
	if err != nil {
		return nil, 0, err
	}
	if err := n.permit(cred, dir, mayExec); err != nil {
		return nil, 0, err
	}
	p, since, err := n.fs.child(dir, name)
	if err != nil {
		return nil, 0, err
	}
	if err := n.fs.seen(p.Record); err != nil {
		return nil, 0, err
	}
	return n.fs.node(p.Record), since, nil
}

// Parent implements vfs.Node.
func (n *node) Parent(_ context.Context, cred *vfs.Cred) (vfs.Node, error) {
	n.fs.tree.RLock()
	defer n.fs.tree.RUnlock()
	dir, err := n.directory()
	if err != nil {
		return nil, err
	}
	if err := n.permit(cred, dir, mayExec); err != nil {
		return nil, err
	}
	if n.ino == index.Root {
		return nil, vfs.ENOENT
	}
	var up *index.Record
	err = n.fs.names.View(func(tx *index.Tx) (err error) {
		up, err = tx.Node(dir.Names[0].Dir)
		return err
	})
	if err != nil {
		return nil, err
	}
	return n.fs.node(up), nil
}
