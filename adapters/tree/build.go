package tree

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/rs/zerolog"

	"github.com/fsva/fsva/vfs"
)

// Options are what a tree needs besides its entries.
type Options struct {
	// Log is told what was left out.
	Log zerolog.Logger
	// Time is the root's and that of directories that are made up.
	Time vfs.Timespec
	// MaxNodes bounds the tree, so that no archive takes all the memory: 0
	// is DefaultMaxNodes.
	MaxNodes int
}

// DefaultMaxNodes bounds an index to about half a gigabyte.
const DefaultMaxNodes = 4 << 20

// maxText bounds all names and targets, and all extended attributes.
const maxText = 256 << 20

// maxSize is the size of the largest file, since offsets have a sign.
const maxSize = math.MaxInt64

// Entry is one entry of a source. Path and LinkTo are as the source has them,
// and are cleaned by the rules of the package.
type Entry struct {
	Path     string
	Type     vfs.FileType
	Mode     uint32 // 07777
	UID, GID uint32
	Mtime    vfs.Timespec
	Size     uint64 // of a regular file
	Holes    uint64 // how much of Size is in holes, which take no space
	Item     uint64 // of a regular file, for Source.Open
	Target   string // of a symbolic link
	Rdev     vfs.Rdev
	// Xattrs are extended attributes by whole name, with the values kept. Of
	// those in other namespaces than user, trusted and security nothing is kept.
	Xattrs map[string][]byte
	// LinkTo makes the entry one more name of what has that path already.
	// Everything else but Path is then ignored.
	LinkTo string
	// Inode, unless it is 0, makes the entry one more name of the file that was
	// added with the same one, if there is one. A directory has none.
	Inode uint64
}

// Builder makes a tree of entries that are added one by one.
type Builder struct {
	opt   Options
	nodes []record
	names []name
	at    map[edge]int      // places in names
	files map[uint64]uint32 // nodes by Entry.Inode
	text  []byte            // targets of symbolic links
	spell int               // bytes of all names

	xattrs map[uint32]map[string][]byte
	kept   int // bytes in xattrs
	holes  map[uint32]uint64

	leftOut int
	example string // of what is left out, and why
}

// edge is a name in a directory.
type edge struct {
	dir  uint32
	name string
}

// name is an edge and where it leads.
type name struct {
	edge
	node uint32
}

// NewBuilder starts an empty tree.
func NewBuilder(opt Options) *Builder {
	if opt.MaxNodes == 0 {
		opt.MaxNodes = DefaultMaxNodes
	}
	b := &Builder{
		opt: opt, at: make(map[edge]int), files: make(map[uint64]uint32),
		xattrs: make(map[uint32]map[string][]byte), holes: make(map[uint32]uint64),
	}
	b.nodes = append(b.nodes, b.madeUp(rootNode))
	return b
}

// madeUp is a directory of which nothing is known.
func (b *Builder) madeUp(parent uint32) record {
	return record{typ: vfs.TypeDirectory, mode: 0o755, parent: parent, sec: b.opt.Time.Sec, nsec: b.opt.Time.Nsec}
}

// Add puts an entry into the tree, or leaves it out by the rules of the
// package. An error means that the tree is larger than it may be.
func (b *Builder) Add(e Entry) error {
	path, why := clean(e.Path)
	if why == "" {
		why = e.flaw()
	}
	if why != "" {
		b.leave(e.Path, why)
		return nil
	}
	if len(path) == 0 {
		return b.describe(rootNode, e)
	}
	dir, err := b.directory(path[:len(path)-1])
	if err != nil {
		return err
	}
	at := edge{dir, path[len(path)-1]}
	if _, again := b.files[e.Inode]; again || e.LinkTo != "" {
		return b.link(at, e)
	}
	return b.put(at, e)
}

// flaw says why an entry cannot be in a tree wherever it is.
func (e *Entry) flaw() string {
	switch {
	case e.LinkTo != "":
		return ""
	case e.Type == vfs.TypeSymlink:
		return targetFlaw(e.Target)
	case e.Type == vfs.TypeRegular && e.Size > maxSize:
		return "is larger than a file can be"
	case e.Type == vfs.TypeUnknown:
		return "is of no kind that a file can be"
	}
	return ""
}

func (b *Builder) leave(path, why string) {
	if b.leftOut++; b.leftOut == 1 {
		b.example = fmt.Sprintf("%.200q %s", path, why)
	}
}

// directory returns the directory of that path, and makes what is missing.
func (b *Builder) directory(path []string) (uint32, error) {
	dir := uint32(rootNode)
	for _, part := range path {
		e := edge{dir, part}
		i, taken := b.at[e]
		if taken && b.nodes[b.names[i].node].typ == vfs.TypeDirectory {
			dir = b.names[i].node
			continue
		}
		if taken {
			b.leave(part, "is a directory and something else too")
		}
		made, err := b.append(b.madeUp(dir))
		if err != nil {
			return 0, err
		}
		if err := b.lead(e, made); err != nil {
			return 0, err
		}
		dir = made
	}
	return dir, nil
}

// lead makes a name lead to a node, whatever it led to.
func (b *Builder) lead(e edge, node uint32) error {
	if i, taken := b.at[e]; taken {
		b.names[i].node = node
		return nil
	}
	if b.spell += len(e.name); b.spell > maxText {
		return vfs.Errorf(vfs.EFBIG, "names with more than %d bytes", maxText)
	}
	e.name = strings.Clone(e.name) // not all of its path
	b.at[e] = len(b.names)
	b.names = append(b.names, name{e, node})
	return nil
}

func (b *Builder) append(r record) (uint32, error) {
	if len(b.nodes) >= b.opt.MaxNodes {
		return 0, vfs.Errorf(vfs.EFBIG, "more than %d files and directories", b.opt.MaxNodes)
	}
	b.nodes = append(b.nodes, r)
	return uint32(len(b.nodes) - 1), nil
}

// put gives a name to a new node.
func (b *Builder) put(at edge, e Entry) error {
	if i, taken := b.at[at]; taken && b.nodes[b.names[i].node].typ == vfs.TypeDirectory {
		return b.describe(b.names[i].node, e)
	}
	r := e.record()
	r.parent = at.dir
	if e.Type == vfs.TypeSymlink {
		r.rest, r.size = uint64(len(b.text)), uint64(len(e.Target))
		b.text = append(b.text, e.Target...)
	}
	if len(b.text) > maxText {
		return vfs.Errorf(vfs.EFBIG, "symbolic links with more than %d bytes", maxText)
	}
	made, err := b.append(r)
	if err != nil {
		return err
	}
	if err := b.keepXattrs(made, &e); err != nil {
		return err
	}
	if e.Type == vfs.TypeRegular && e.Holes > 0 {
		b.holes[made] = min(e.Holes, e.Size)
	}
	if e.Inode != 0 {
		b.files[e.Inode] = made
	}
	return b.lead(at, made)
}

// describe gives a directory that is there the attributes of its entry.
func (b *Builder) describe(dir uint32, e Entry) error {
	if e.LinkTo != "" || e.Type != vfs.TypeDirectory {
		b.leave(e.Path, "is a directory and something else too")
		return nil
	}
	parent := b.nodes[dir].parent
	b.nodes[dir] = e.record()
	b.nodes[dir].parent = parent
	delete(b.xattrs, dir)
	return b.keepXattrs(dir, &e)
}

func (e *Entry) record() record {
	r := record{
		typ: e.Type, mode: uint16(e.Mode & 0o7777), uid: e.UID, gid: e.GID,
		sec: e.Mtime.Sec, nsec: min(e.Mtime.Nsec, 1e9-1),
	}
	switch e.Type {
	case vfs.TypeRegular:
		r.size, r.rest = e.Size, e.Item
	case vfs.TypeBlock, vfs.TypeChar:
		r.rest = uint64(e.Rdev.Major)<<32 | uint64(e.Rdev.Minor)
	}
	return r
}

// link gives one more name to a node.
func (b *Builder) link(at edge, e Entry) error {
	to, why := b.find(e)
	if i, taken := b.at[at]; taken && b.nodes[b.names[i].node].typ == vfs.TypeDirectory {
		why = "is a directory and something else too"
	}
	if why != "" {
		b.leave(e.Path, why)
		return nil
	}
	if len(b.names) >= b.opt.MaxNodes {
		return vfs.Errorf(vfs.EFBIG, "more than %d names", b.opt.MaxNodes)
	}
	return b.lead(at, to)
}

// find returns the file that a hard link leads to.
func (b *Builder) find(e Entry) (node uint32, why string) {
	if node, ok := b.files[e.Inode]; ok {
		return node, ""
	}
	path, why := clean(e.LinkTo)
	if why != "" {
		return 0, "is a hard link to a path that " + why
	}
	for _, part := range path {
		i, ok := b.at[edge{node, part}]
		if !ok {
			return 0, "is a hard link to what has not come before it"
		}
		node = b.names[i].node
	}
	if b.nodes[node].typ == vfs.TypeDirectory {
		return 0, "is a hard link to a directory"
	}
	return node, ""
}

// Build ends the tree. The FS closes the source; if Build fails the caller does.
// The builder is spent.
func (b *Builder) Build(source Source, fingerprint Fingerprint) (*FS, error) {
	if len(b.text)+b.spell > maxText {
		return nil, vfs.Errorf(vfs.EFBIG, "names and targets with more than %d bytes", maxText)
	}
	f := &FS{fingerprint: fingerprint, source: source, nodes: slices.Clip(b.nodes), text: b.text, xattrs: b.xattrs, holes: b.holes}
	slices.SortFunc(b.names, func(x, y name) int {
		return cmp.Or(cmp.Compare(x.dir, y.dir), cmp.Compare(x.name, y.name))
	})
	b.at, b.files = nil, nil
	f.nodes[rootNode].nlink = 2
	f.links = make([]link, 0, len(b.names))
	for _, n := range b.names {
		f.enter(n)
	}
	f.text = slices.Clip(f.text)
	for i := range f.nodes {
		if r := &f.nodes[i]; r.typ == vfs.TypeRegular && r.nlink > 0 {
			f.bytes = min(f.bytes+r.size, maxSize) // of sparse files there may be any number
		}
	}
	if b.leftOut > 0 {
		b.opt.Log.Warn().Int("left_out", b.leftOut).Str("example", b.example).
			Msg("names that no tree can hold are left out")
	}
	return f, nil
}

// enter puts a name behind those before it in its directory.
func (f *FS) enter(n name) {
	dir := &f.nodes[n.dir]
	if dir.size == 0 {
		dir.rest = uint64(len(f.links))
	}
	dir.size++
	f.links = append(f.links, link{uint32(len(f.text)), n.node, uint8(len(n.name))})
	f.text = append(f.text, n.name...)
	if r := &f.nodes[n.node]; r.typ == vfs.TypeDirectory {
		r.nlink = 2 // and one for each directory in it; they come later, since their numbers are higher
		dir.nlink++
	} else {
		r.nlink++
	}
}
