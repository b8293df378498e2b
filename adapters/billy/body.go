package billy

import (
	"container/list"
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"github.com/go-git/go-billy/v5"

	"github.com/fsva/fsva/adapters/billy/index"
)

// body is the data of a file that is open. All its vfs.Files share one
// billy.File, so that what one writes the others read. That file comes and
// goes: it is closed when too many are, and before anything is renamed, since
// billy does not say what a rename means to a file that is open.
type body struct {
	fs  *FS
	ino uint64

	opens int           // vfs.Files; guarded by files.mu
	entry *list.Element // in files.open while file is; guarded by files.mu

	// mu is held shared to read through file and exclusively for all else:
	// of a billy.File only ReadAt may be called by several at once.
	mu       sync.RWMutex
	file     billy.File
	reads    bool // file is open for reading
	writes   bool // file is open for writing
	wrote    bool // something was written through file
	unsynced bool // something was written since the last Sync
	lost     error

	// size is where the file ends by what was written through file, which
	// the file system may not show before it is closed; -1 if nothing was.
	size atomic.Int64
}

// files are the bodies there are.
type files struct {
	mu    sync.Mutex
	byIno map[uint64]*body
	open  list.List // of bodies whose file is open, the one opened longest ago first

	// unsynced has nodes without a body that were written since the last Sync, if
	// their files have one: whoever opens the node next may ask for it.
	unsynced map[uint64]struct{}
}

// maxUnsynced bounds files.unsynced: nodes beyond are synced when they are closed.
const maxUnsynced = 1 << 16

// acquire opens a body once more. The tree is locked, so that nobody removes
// the node in between.
func (f *FS) acquire(ino uint64) *body {
	f.files.mu.Lock()
	defer f.files.mu.Unlock()
	b := f.files.byIno[ino]
	if b == nil {
		_, unsynced := f.files.unsynced[ino]
		delete(f.files.unsynced, ino)
		b = &body{fs: f, ino: ino, unsynced: unsynced}
		b.size.Store(-1)
		f.files.byIno[ino] = b
	}
	b.opens++
	return b
}

// release is what acquire asks for in the end. The tree is not locked. What it
// returns is what went wrong with writes that nobody was told of.
func (f *FS) release(b *body) error {
	last, full := b.leave()
	if !last {
		return nil
	}
	if full {
		_ = b.sync() // what fails is in b.lost
	}
	return errors.Join(b.end(), f.bury(b.ino))
}

// end closes the file for good, and takes the body away before anybody can write
// to it again: what is remembered of it would not know of that.
func (b *body) end() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shut()
	b.fs.files.discard(b)
	return b.lost
}

// leave reports whether it was the last one's, and whether no more nodes can wait
// for a Sync. The body stays to be found until its file is closed, so that no other
// file is opened beside it.
func (b *body) leave() (last, full bool) {
	fl := &b.fs.files
	fl.mu.Lock()
	defer fl.mu.Unlock()
	b.opens--
	return b.opens == 0, len(fl.unsynced) >= maxUnsynced
}

// discard takes a body away unless it was opened again, and remembers if it was
// not synced. Its mu is held.
func (fl *files) discard(b *body) {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if b.opens > 0 || fl.byIno[b.ino] != b {
		return
	}
	delete(fl.byIno, b.ino)
	if b.unsynced && b.lost == nil {
		fl.unsynced[b.ino] = struct{}{}
	}
}

// forget is for a node that is removed.
func (fl *files) forget(ino uint64) {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	delete(fl.unsynced, ino)
}

// find returns the body of a node, nil if it has none, and whether somebody has
// it open: else it is about to be closed for good. While the tree is locked for
// writing nobody opens it.
func (fl *files) find(ino uint64) (b *body, opened bool) {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	b = fl.byIno[ino]
	return b, b != nil && b.opens > 0
}

// size returns how long a file is by what was written and is not yet closed.
func (fl *files) size(ino uint64) (uint64, bool) {
	b, _ := fl.find(ino)
	if b == nil {
		return 0, false
	}
	size := b.size.Load()
	return uint64(size), size >= 0
}

// all returns the bodies whose file is open.
func (fl *files) all() []*body {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	var bodies []*body
	for e := fl.open.Front(); e != nil; e = e.Next() {
		bodies = append(bodies, e.Value.(*body))
	}
	return bodies
}

func (fl *files) closeAll() error {
	var errs []error
	for _, b := range fl.all() {
		b.mu.Lock()
		b.shut()
		errs = append(errs, b.lost)
		b.mu.Unlock()
	}
	return errors.Join(errs...)
}

// adopt takes a file that was just opened. mu is held.
func (b *body) adopt(file billy.File, reads, writes bool) {
	b.file, b.reads, b.writes, b.wrote = file, reads, writes, false
	fl := &b.fs.files
	fl.mu.Lock()
	b.entry = fl.open.PushBack(b)
	excess := fl.open.Len() - b.fs.opt.MaxOpen
	var old []*body
	for e := fl.open.Front(); e != b.entry && len(old) < excess; e = e.Next() {
		old = append(old, e.Value.(*body))
	}
	fl.mu.Unlock()
	for _, o := range old {
		if o.mu.TryLock() { // else it is in use: the next one tries again
			o.shut()
			o.mu.Unlock()
		}
	}
}

// shut closes the file. For a file system that writes when a file is closed
// this is where that fails: what was written is lost then, whatever a Sync may
// have said, which the next Sync or Close tells. Where files that are open for
// writing have no Sync, to close them is what there is. mu is held.
func (b *body) shut() {
	if b.file == nil {
		return
	}
	_, syncer := b.file.(Syncer)
	err := b.file.Close()
	b.file = nil
	b.size.Store(-1)
	fl := &b.fs.files
	fl.mu.Lock()
	fl.open.Remove(b.entry)
	fl.mu.Unlock()
	switch {
	case err != nil && (b.wrote || b.unsynced):
		b.lose(err)
	case err == nil && !syncer && b.writes:
		b.unsynced = false
	}
}

// lose notes that writes did not arrive. mu is held.
func (b *body) lose(err error) {
	b.lost = errnoOf(err)
	b.fs.verifier.Add(1)
}

// detach closes a node's file so that its path can change, and reports whether
// somebody has it open. The tree is locked for writing.
func (fl *files) detach(ino uint64) (opened bool) {
	b, opened := fl.find(ino)
	if b != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.shut()
	}
	return opened
}

// read calls do with the file open for reading, perhaps beside others.
func (b *body) read(do func(billy.File) error) error {
	for {
		b.mu.RLock()
		if b.file != nil && b.reads {
			err := do(b.file)
			b.mu.RUnlock()
			return err
		}
		b.mu.RUnlock()
		if err := b.reopen(false, nil); err != nil {
			return err
		}
	}
}

// write calls do alone with the file open for writing.
func (b *body) write(do func(billy.File) error) error {
	b.mu.Lock()
	if b.file != nil && b.writes {
		defer b.mu.Unlock()
		return do(b.file)
	}
	b.mu.Unlock()
	return b.reopen(true, do)
}

// reopen opens the file for reading or, with write, for both if the file
// system can, and calls do before anybody can take it away.
func (b *body) reopen(write bool, do func(billy.File) error) error {
	b.fs.tree.RLock()
	locked := true
	unlock := func() {
		if locked {
			locked = false
			b.fs.tree.RUnlock()
		}
	}
	defer unlock()
	var path string
	err := b.fs.names.View(func(tx *index.Tx) error {
		r, err := tx.Node(b.ino)
		if err == nil {
			path, err = b.fs.path(tx, r)
		}
		return err
	})
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.file == nil || write && !b.writes || !write && !b.reads {
		b.shut()
		if err := b.open(path, write); err != nil {
			return err
		}
	}
	unlock() // what the file is called does not matter any more
	if do == nil {
		return nil
	}
	return do(b.file)
}

// open opens the file. mu is held.
func (b *body) open(path string, write bool) error {
	flag := os.O_RDONLY
	switch {
	case write && b.fs.can.both:
		flag = os.O_RDWR
	case write:
		flag = os.O_WRONLY
	}
	if write {
		fi, err := b.fs.lstat(path)
		if err != nil {
			return errnoOf(err)
		}
		b.size.Store(fi.Size())
	}
	file, err := b.fs.under.OpenFile(path, flag, 0)
	if err != nil {
		b.size.Store(-1)
		return errnoOf(err)
	}
	b.adopt(file, flag != os.O_WRONLY, write)
	return nil
}

// writeAt puts p at off. mu is held, as in what follows.
func (b *body) writeAt(file billy.File, p []byte, off int64) (n int, err error) {
	if at, ok := file.(io.WriterAt); ok {
		n, err = at.WriteAt(p, off)
	} else if _, err = file.Seek(off, io.SeekStart); err == nil {
		n, err = file.Write(p)
	}
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	if n > 0 {
		b.wrote, b.unsynced = true, true
		b.size.Store(max(b.size.Load(), off+int64(n)))
	}
	return n, errnoOf(err)
}

func (b *body) truncate(file billy.File, size int64) error {
	err := file.Truncate(size)
	if err == nil {
		b.wrote, b.unsynced = true, true
		b.size.Store(size)
	}
	return errnoOf(err)
}

// sync makes what was written durable, as far as the file system knows how.
func (b *body) sync() error {
	b.mu.Lock()
	needed, err := b.unsynced, b.lost
	b.mu.Unlock()
	if !needed || err != nil {
		return err
	}
	return b.write(func(file billy.File) error {
		s, ok := file.(Syncer)
		if !ok {
			b.shut()
			return b.lost
		}
		if err := s.Sync(); err != nil {
			b.lose(err)
			return b.lost
		}
		b.unsynced = false
		return nil
	})
}
