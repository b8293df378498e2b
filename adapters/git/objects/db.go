package objects

import (
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/fsva/fsva/adapters/lru"
)

var (
	// ErrNotFound says that the repository has no such object: it was
	// pruned, or the clone is shallow or partial.
	ErrNotFound = errors.New("the repository has no such object")
	// ErrTooLarge says that the object, or one that it is a delta of, is
	// larger than the caller's limit.
	ErrTooLarge = errors.New("the object is too large")
	// ErrCorrupt says that what is stored is not the object.
	ErrCorrupt = errors.New("the repository is damaged; see git fsck")
)

const (
	maxAlternates = 64
	maxPacks      = 4096     // two descriptors each
	baseBytes     = 16 << 20 // of objects kept because others are deltas of them
)

// DB is the objects of one repository with its alternates.
type DB struct {
	dirs []string // "objects" directories, the repository's own first

	bases *lru.Cache[place, object]

	packs atomic.Pointer[[]*pack] // the slice is never changed
	hit   atomic.Int64            // where in it the last object was found

	mu  sync.Mutex       // serialises Rescan
	bad map[string]error // indexes that cannot be read; guarded by mu
}

// place is where an object begins.
type place struct {
	pack *pack
	off  int64
}

// object is an object in memory. data is shared and not modified.
type object struct {
	typ  plumbing.ObjectType
	data []byte
}

func newBases() *lru.Cache[place, object] {
	return lru.New[place](baseBytes, func(o object) int64 { return int64(len(o.data)) })
}

// Open opens the object database in dir, the "objects" directory of a
// repository. It opens also if a pack cannot be read: see [DB.Damage].
func Open(dir string) (*DB, error) {
	dirs, err := withAlternates(dir)
	if err != nil {
		return nil, err
	}
	d := &DB{dirs: dirs, bases: newBases()}
	d.packs.Store(new([]*pack))
	if err := d.Rescan(); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// withAlternates returns dir and the directories it borrows objects from, each
// once.
func withAlternates(dir string) ([]string, error) {
	dirs := []string{filepath.Clean(dir)}
	for i := 0; i < len(dirs); i++ {
		text, err := os.ReadFile(filepath.Join(dirs[i], "info", "alternates"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(text)) {
			line = strings.TrimRight(line, "\n")
			if line == "" || line[0] == '#' {
				continue
			}
			if !filepath.IsAbs(line) {
				line = filepath.Join(dirs[i], line)
			}
			if line = filepath.Clean(line); slices.Contains(dirs, line) {
				continue
			}
			if st, err := os.Stat(line); err != nil || !st.IsDir() {
				return nil, fmt.Errorf("%s borrows objects from %s, which is no directory", dirs[i], line)
			}
			if dirs = append(dirs, line); len(dirs) > maxAlternates {
				return nil, fmt.Errorf("%s borrows objects from more than %d others", dir, maxAlternates)
			}
		}
	}
	return dirs, nil
}

// Rescan takes note of packs that came and went. It is done by itself when an
// object is missing; calling it now and then gives back the space of packs
// that were removed.
func (d *DB) Rescan() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	there, err := d.listPacks()
	if err != nil {
		return err
	}
	var packs, gone []*pack
	for _, p := range *d.packs.Load() {
		if there[p.path] {
			packs = append(packs, p)
			delete(there, p.path)
		} else {
			gone = append(gone, p)
		}
	}
	d.bad = map[string]error{}
	for path := range there {
		p, err := openPack(path)
		switch {
		case err == nil:
			packs = append(packs, p)
		case !errors.Is(err, fs.ErrNotExist): // else it went again
			d.bad[path] = err
		}
	}
	d.packs.Store(&packs)
	for _, p := range gone {
		p.drop()
	}
	return nil
}

// listPacks returns the paths of all indexes. A pack is complete when its index
// is there: git makes it last.
func (d *DB) listPacks() (map[string]bool, error) {
	there := map[string]bool{}
	for _, dir := range d.dirs {
		dir = filepath.Join(dir, "pack")
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			if name := e.Name(); strings.HasPrefix(name, "pack-") && strings.HasSuffix(name, ".idx") {
				there[filepath.Join(dir, name)] = true
			}
		}
	}
	if len(there) > maxPacks {
		return nil, fmt.Errorf("%s has %d packs, more than %d; run git gc", d.dirs[0], len(there), maxPacks)
	}
	return there, nil
}

// Damage returns why packs that are there cannot be read.
func (d *DB) Damage() (damage []error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for path, err := range d.bad {
		damage = append(damage, fmt.Errorf("%s: %w", path, err))
	}
	return damage
}

// Bytes is the size of all packs.
func (d *DB) Bytes() (n int64) {
	for _, p := range *d.packs.Load() {
		n += p.length
	}
	return n
}

// Close closes all packs. Contents that are open keep theirs until they are
// closed.
func (d *DB) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range *d.packs.Swap(new([]*pack)) {
		p.drop()
	}
	return nil
}

// user is who does something with an object where it is stored. What it is
// given is its own to give back: the pack of a place is held for it until it
// returns, a file is open.
type user struct {
	packed func(place) error
	loose  func(*os.File) error
}

// locate has u use the object, and again if it has moved meanwhile: from loose
// into a pack or from pack to pack.
func (d *DB) locate(id plumbing.Hash, u user) error {
	err := d.tryLocate(id, u)
	// Two more chances: the second is for a repack that ends during the first.
	for range 2 {
		if !errors.Is(err, ErrNotFound) {
			break
		}
		if err := d.Rescan(); err != nil {
			return err
		}
		err = d.tryLocate(id, u)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrNotFound): // unless it is in a pack that cannot be read
		err = errors.Join(append([]error{err}, d.Damage()...)...)
	}
	return fmt.Errorf("object %s: %w", id, err)
}

// tryLocate goes through all copies that there are of the object until one is
// not damaged.
func (d *DB) tryLocate(id plumbing.Hash, u user) error {
	first := ErrNotFound
	packs, hit := *d.packs.Load(), int(d.hit.Load())
	for i := range packs {
		n := (hit + i) % len(packs)
		err := packs[n].use(id, u.packed)
		if err == nil {
			d.hit.Store(int64(n))
		}
		if final(err) {
			return err
		}
		if !errors.Is(err, ErrNotFound) && first == ErrNotFound {
			first = err
		}
	}
	for _, dir := range d.dirs {
		f, err := openLoose(dir, id)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = u.loose(f)
		}
		if final(err) {
			return err
		}
		if first == ErrNotFound {
			first = err
		}
	}
	return first
}

// final reports that another copy of the object would not change the outcome.
func final(err error) bool {
	return err == nil || errors.Is(err, ErrTooLarge) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// use calls f with where the object is in the pack.
func (p *pack) use(id plumbing.Hash, f func(place) error) error {
	if !p.hold() {
		return ErrNotFound // it was removed from the DB just now
	}
	defer p.drop()
	off, err := p.find(id)
	if err != nil {
		return err
	}
	return f(place{p, off})
}

// Size returns the size of an object in bytes, from its header.
func (d *DB) Size(id plumbing.Hash) (size int64, err error) {
	err = d.locate(id, user{
		packed: func(at place) (err error) {
			size, err = at.pack.size(at.off)
			return err
		},
		loose: func(f *os.File) error {
			l, err := newLoose(f)
			if err == nil {
				size = l.size
				l.close()
			}
			return err
		},
	})
	return size, err
}

// Read returns an object's type and content, which is shared: it must not be
// modified. ErrTooLarge if that needs an object of more than limit bytes in
// memory.
func (d *DB) Read(ctx context.Context, id plumbing.Hash, limit int64) (typ plumbing.ObjectType, data []byte, err error) {
	err = d.locate(id, user{
		packed: func(at place) error {
			o, err := d.unpack(ctx, at, limit)
			typ, data = o.typ, o.data
			return err
		},
		loose: func(f *os.File) error {
			l, err := newLoose(f)
			if err != nil {
				return err
			}
			defer l.close()
			typ = l.typ
			data, err = l.readAll(limit)
			return err
		},
	}.checking(func() error {
		sum := newSum(typ, int64(len(data)))
		sum.Write(data)
		return sum.check(id)
	}))
	if err != nil {
		return 0, nil, err
	}
	return typ, data, nil
}

// checking adds a check to what a user does.
func (u user) checking(check func() error) user {
	and := func(err error) error {
		if err != nil {
			return err
		}
		return check()
	}
	return user{
		packed: func(at place) error { return and(u.packed(at)) },
		loose:  func(f *os.File) error { return and(u.loose(f)) },
	}
}

// sum makes the name of an object from what is written to it.
type sum struct{ hash.Hash }

func newSum(typ plumbing.ObjectType, size int64) sum {
	s := sum{sha1.New()}
	fmt.Fprintf(s, "%s %d\x00", typ, size)
	return s
}

func (s sum) check(id plumbing.Hash) error {
	if plumbing.Hash(s.Sum(nil)) != id {
		return fmt.Errorf("%w: an object is not what its name says", ErrCorrupt)
	}
	return nil
}
