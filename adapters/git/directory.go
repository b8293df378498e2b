package git

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/fsva/fsva/adapters/git/objects"
	"github.com/fsva/fsva/vfs"
)

const (
	maxTree  = 32 << 20 // bytes of a tree object, which is 500,000 names or more
	maxDepth = 1024     // directories in directories
	maxTotal = 1 << 56  // nodes of a commit: one tree many times over is many

	// maxNested bounds trees in each other, in bytes, since all of them are
	// in memory while the innermost is counted: about twice as much.
	maxNested = 2 * maxTree
)

// directory is a tree object taken apart. It never changes, but for what is
// found out later.
type directory struct {
	items []item // by name
	// total is how many nodes there are: this one and all below.
	total uint64

	hash   sync.Once
	hashed []hashed // by cookie, see byHash
}

// item is one entry of a tree.
type item struct {
	name string
	id   plumbing.Hash
	kind kind
	// number is that of the node in its commit, less that of the directory.
	number uint64
	size   int64 // of a blob, in bytes; -1 until somebody asks; atomic
}

// kind is what an entry of a tree can be (git-fast-import(1), filemodify).
type kind uint8

const (
	plain kind = iota
	executable
	symlink
	subtree
	submodule // another repository, of which there is only an empty directory
)

// kindOf knows the modes that git makes, and has made: permissions but the one
// to execute mean nothing.
func kindOf(mode []byte) (kind, bool) {
	const typeBits, regular, link, dir, module = 0o170000, 0o100000, 0o120000, 0o040000, 0o160000
	n := 0
	for _, digit := range mode {
		if digit < '0' || digit > '7' || n > typeBits {
			return 0, false
		}
		n = n<<3 | int(digit-'0')
	}
	switch n & typeBits {
	case regular:
		if n&0o100 != 0 {
			return executable, true
		}
		return plain, true
	case link:
		return symlink, true
	case dir:
		return subtree, true
	case module:
		return submodule, true
	}
	return 0, false
}

func (k kind) isDir() bool { return k == subtree || k == submodule }

func (d *directory) weight() int64 {
	const perItem, perDirectory = 96, 128 // with the names, and room for hashed
	return int64(cap(d.items))*perItem + perDirectory
}

// lookup returns the number of the item of that name, or -1. It looks at items
// where they are: to copy one would read its size while others may set it.
func (d *directory) lookup(name string) int {
	i, found := sort.Find(len(d.items), func(i int) int { return cmp.Compare(name, d.items[i].name) })
	if !found {
		return -1
	}
	return i
}

// span is how many nodes an item stands for: itself and all below.
func (d *directory) span(i int) uint64 {
	if i+1 < len(d.items) {
		return d.items[i+1].number - d.items[i].number
	}
	return d.total - d.items[i].number
}

// holding returns the item that is the node of that number, or that it is below.
func (d *directory) holding(number uint64) int {
	return sort.Search(len(d.items), func(i int) bool { return d.items[i].number > number }) - 1
}

// parseTree takes a tree object apart. What cannot be an entry of a directory
// is left out, and so is .git, which has programs of a guest run what it says;
// git does not make them (git-fsck(1): hasDot, hasDotdot, hasDotgit,
// fullPathname).
func parseTree(text []byte) (items []item, leftOut int, err error) {
	items = make([]item, 0, countItems(text))
	for len(text) > 0 {
		head, rest, ok := bytes.Cut(text, []byte{0})
		mode, name, ok2 := bytes.Cut(head, []byte(" "))
		if !ok || !ok2 || len(rest) < len(plumbing.Hash{}) {
			return nil, 0, errMalformed
		}
		it := item{name: string(name), id: plumbing.Hash(rest[:len(plumbing.Hash{})]), size: -1}
		text = rest[len(plumbing.Hash{}):]
		if it.kind, ok = kindOf(mode); !ok || vfs.CheckName(it.name) != nil || strings.EqualFold(it.name, ".git") {
			leftOut++
			continue
		}
		items = append(items, it)
	}
	// git sorts directories as if a slash followed their names.
	slices.SortStableFunc(items, func(a, b item) int { return cmp.Compare(a.name, b.name) })
	all := len(items)
	items = slices.CompactFunc(items, func(a, b item) bool { return a.name == b.name })
	return items, leftOut + all - len(items), nil
}

// countItems says how many items there are. Zeroes may be in the names of objects
// too, and of a hostile tree in all of them.
func countItems(text []byte) (n int) {
	for {
		head := bytes.IndexByte(text, 0)
		if head < 0 {
			return n
		}
		text = text[min(head+1+len(plumbing.Hash{}), len(text)):]
		n++
	}
}

// directory returns what a tree object holds.
func (f *FS) directory(ctx context.Context, id plumbing.Hash) (*directory, error) {
	d, err := f.load(ctx, id, outer{})
	return d, f.fail(id, err)
}

// outer are the trees that a tree is in: how many, and their bytes.
type outer struct{ trees, bytes int }

// load reads a tree and counts what is below it, which reads all trees there
// unless they have been counted.
func (f *FS) load(ctx context.Context, id plumbing.Hash, in outer) (*directory, error) {
	if d, ok := f.directories.Get(id); ok {
		return d, nil
	}
	if in.trees > maxDepth {
		return nil, fmt.Errorf("tree %s: %w: more than %d directories in each other", id, errMalformed, maxDepth)
	}
	typ, text, err := f.objects.Read(ctx, id, maxTree)
	if err != nil {
		return nil, err
	}
	if typ != plumbing.TreeObject {
		return nil, fmt.Errorf("object %s: %w: it is to be a tree and is a %s", id, errMalformed, typ)
	}
	in.trees++
	if in.bytes += len(text); in.bytes > maxNested {
		return nil, fmt.Errorf("tree %s: %w: with those around it it has more than %d bytes", id, objects.ErrTooLarge, maxNested)
	}
	items, leftOut, err := parseTree(text)
	if err != nil {
		return nil, fmt.Errorf("tree %s: %w", id, err)
	}
	if leftOut > 0 {
		f.complain(id.String(), fmt.Errorf("%d names that no directory can hold are left out", leftOut))
	}
	d := &directory{items: items, total: 1}
	for i := range items {
		items[i].number = d.total
		n, err := f.count(ctx, &items[i], in)
		if err != nil {
			return nil, err
		}
		if d.total += n; d.total > maxTotal {
			return nil, fmt.Errorf("tree %s: %w: there are too many files below it", id, errMalformed)
		}
	}
	f.directories.Add(id, d)
	f.counts.Add(id, d.total)
	return d, nil
}

// count is how many nodes an item stands for. A tree that cannot be read counts
// for itself alone, so that the rest of the commit can.
func (f *FS) count(ctx context.Context, it *item, in outer) (uint64, error) {
	if it.kind != subtree {
		return 1, nil
	}
	if n, ok := f.counts.Get(it.id); ok {
		return n, nil
	}
	d, err := f.load(ctx, it.id, in)
	switch {
	case err == nil:
		return d.total, nil
	case errors.Is(err, objects.ErrNotFound), errors.Is(err, objects.ErrCorrupt), errors.Is(err, objects.ErrTooLarge), errors.Is(err, errMalformed):
		f.complain(it.id.String(), err)
		return 1, nil
	}
	return 0, err
}

// hashed is an item by its cookie.
type hashed struct {
	cookie uint64
	item   int
}

// byHash is the items in the order of cookies that are made of names, for
// directories in which names come and go.
func (d *directory) byHash() []hashed {
	d.hash.Do(func() {
		d.hashed = make([]hashed, len(d.items))
		for i := range d.items {
			d.hashed[i] = hashed{nameCookie(d.items[i].name), i}
		}
		slices.SortFunc(d.hashed, func(a, b hashed) int { return cmp.Compare(a.cookie, b.cookie) })
	})
	return d.hashed
}
