package vfstest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/fsva/fsva/vfs"
)

// twin is what a node of the file system should be: the model is a tree of
// these beside the tree of the file system, and every random operation is done
// to both.
type twin struct {
	node    vfs.Node
	dir     bool
	parent  *twin
	entries map[string]*twin // of a directory
	content string           // of a file
	nlink   int              // of a file
}

// model walks a file system and its twin at random.
type model struct {
	e    *env
	rand *rand.Rand
	root *twin
	dirs []*twin
}

// few names, so that operations meet.
var modelNames = []string{"a", "b", "c", "d", "e"}

var modelChecks = []check{
	{name: "of a tree agrees after every operation", run: func(e *env) {
		for seed := range uint64(4) {
			m := newModel(e, seed)
			for step := range 800 {
				m.step()
				if step%100 == 99 {
					m.compare(m.root, "")
				}
			}
			m.compare(m.root, "")
		}
	}},
}

// newModel begins in an empty directory.
func newModel(e *env, seed uint64) *model {
	e.Logf("seed %d", seed)
	dir := e.mkdir(e.root, fmt.Sprint("seed", seed))
	m := &model{e: e, rand: rand.New(rand.NewPCG(seed, 1)), root: &twin{node: dir, dir: true, entries: map[string]*twin{}}}
	m.dirs = []*twin{m.root}
	return m
}

func (m *model) anyDir() *twin   { return m.dirs[m.rand.IntN(len(m.dirs))] }
func (m *model) anyName() string { return modelNames[m.rand.IntN(len(modelNames))] }

// step does one operation to both and compares how it ended.
func (m *model) step() {
	dir, name := m.anyDir(), m.anyName()
	switch m.rand.IntN(8) {
	case 0, 1:
		m.create(dir, name)
	case 2:
		m.mkdir(dir, name)
	case 3:
		m.write(dir.entries[name])
	case 4:
		m.truncate(dir.entries[name])
	case 5:
		m.remove(dir, name)
	case 6:
		m.rename(dir, name, m.anyDir(), m.anyName())
	case 7:
		m.link(dir.entries[name], m.anyDir(), m.anyName())
	}
}

// ended compares an error with what the model says.
func (m *model) ended(what string, err error, want ...vfs.Errno) {
	if got := vfs.ErrnoOf(err); !slices.Contains(want, got) {
		m.e.Fatalf("%s: %v, and the model says %v", what, err, want)
	}
}

func (m *model) create(dir *twin, name string) {
	n, f, _, err := dir.node.Create(m.e.ctx, root, name, mode(0o644), readWrite)
	if dir.entries[name] != nil {
		m.ended("Create", err, vfs.EEXIST)
		return
	}
	m.ended("Create", err, 0)
	m.e.ok(f.Close())
	dir.entries[name] = &twin{node: n, parent: dir, nlink: 1}
}

func (m *model) mkdir(dir *twin, name string) {
	n, _, err := dir.node.Mkdir(m.e.ctx, root, name, mode(0o755))
	if dir.entries[name] != nil {
		m.ended("Mkdir", err, vfs.EEXIST)
		return
	}
	m.ended("Mkdir", err, 0)
	d := &twin{node: n, dir: true, parent: dir, entries: map[string]*twin{}}
	dir.entries[name] = d
	m.dirs = append(m.dirs, d)
}

func (m *model) write(t *twin) {
	if t == nil || t.dir {
		return
	}
	off := m.rand.IntN(5000)
	data := strings.Repeat(string(rune('A'+m.rand.IntN(26))), 1+m.rand.IntN(5000))
	f := m.e.open(t.node, vfs.OpenWrite)
	m.e.write(f, int64(off), data)
	m.e.ok(f.Close())
	old := t.content + strings.Repeat("\x00", max(0, off-len(t.content)))
	t.content = old[:off] + data + old[min(len(old), off+len(data)):]
}

func (m *model) truncate(t *twin) {
	if t == nil || t.dir {
		return
	}
	size := m.rand.IntN(8000)
	m.e.truncate(t.node, uint64(size))
	t.content = (t.content + strings.Repeat("\x00", max(0, size-len(t.content))))[:size]
}

func (m *model) remove(dir *twin, name string) {
	t := dir.entries[name]
	_, err := dir.node.Remove(m.e.ctx, root, name, t != nil && t.dir)
	switch {
	case t == nil:
		m.ended("Remove", err, vfs.ENOENT)
	case len(t.entries) > 0:
		m.ended("Remove", err, vfs.ENOTEMPTY, vfs.EEXIST)
	default:
		m.ended("Remove", err, 0)
		m.drop(dir, name)
	}
}

// drop takes a name away from the model.
func (m *model) drop(dir *twin, name string) {
	t := dir.entries[name]
	delete(dir.entries, name)
	t.nlink--
	if t.dir {
		m.dirs = slices.DeleteFunc(m.dirs, func(d *twin) bool { return d == t })
	}
}

// within reports that t is dir or in it.
func (t *twin) within(dir *twin) bool {
	for ; t != nil; t = t.parent {
		if t == dir {
			return true
		}
	}
	return false
}

func (m *model) rename(dir *twin, name string, to *twin, newName string) {
	t, over := dir.entries[name], to.entries[newName]
	_, _, err := dir.node.Rename(m.e.ctx, root, name, to.node, newName, 0)
	switch {
	case t == nil:
		m.ended("Rename", err, vfs.ENOENT)
		return
	case t == over:
		m.ended("Rename", err, 0)
		return
	case t.dir && to.within(t):
		m.ended("Rename", err, vfs.EINVAL)
		return
	case over != nil && over.dir && dir.within(over):
		// The target holds the source, so it is not empty.
		m.ended("Rename", err, vfs.ENOTEMPTY, vfs.EEXIST, vfs.EISDIR)
		return
	case over != nil && t.dir && !over.dir:
		m.ended("Rename", err, vfs.ENOTDIR)
		return
	case over != nil && over.dir && !t.dir:
		m.ended("Rename", err, vfs.EISDIR, vfs.ENOTEMPTY, vfs.EEXIST)
		return
	case over != nil && len(over.entries) > 0:
		m.ended("Rename", err, vfs.ENOTEMPTY, vfs.EEXIST)
		return
	}
	m.ended("Rename", err, 0)
	if over != nil {
		m.drop(to, newName)
	}
	delete(dir.entries, name)
	to.entries[newName] = t
	t.parent = to
}

func (m *model) link(t, dir *twin, name string) {
	if t == nil || t.dir || !m.e.fs.Caps().HardLinks {
		return
	}
	_, err := t.node.(vfs.Linker).Link(m.e.ctx, root, dir.node, name)
	if dir.entries[name] != nil {
		m.ended("Link", err, vfs.EEXIST)
		return
	}
	m.ended("Link", err, 0)
	dir.entries[name] = t
	t.nlink++
}

// compare wants that the tree is as the model has it.
func (m *model) compare(t *twin, path string) {
	e := m.e
	var names []string
	for name := range t.entries {
		names = append(names, name)
	}
	got := e.list(t.node)
	slices.Sort(got)
	slices.Sort(names)
	if !slices.Equal(got, names) {
		e.Fatalf("%s/ lists %q, and the model %q", path, got, names)
	}
	for name, c := range t.entries {
		n := e.lookup(t.node, name)
		if !same(n, c.node) {
			e.Fatalf("%s/%s is another node", path, name)
		}
		if c.dir {
			m.compare(c, path+"/"+name)
			continue
		}
		e.holds(n, c.content)
		if a := e.attr(n); int(a.Nlink) != c.nlink {
			e.Fatalf("%s/%s has %d links, and the model %d", path, name, a.Nlink, c.nlink)
		}
	}
}
