package git

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/fsva/fsva/vfs"
)

// key tells a folder or a ref from all others, over restarts.
type key [8]byte

func folderKey(path string) key     { return keyOf("folder", path) }
func refKey(name string) key        { return keyOf("ref", name) }
func revisionKey(rev string) key    { return keyOf("revision", rev) }
func nameCookie(name string) uint64 { return keyOf("name", name).number()>>2 | 1<<61 }

func keyOf(kind, name string) key {
	sum := sha256.Sum256([]byte(kind + "\x00" + name))
	return key(sum[:])
}

// number is one of 63 bits that is as good as random.
func (k key) number() uint64 { return binary.BigEndian.Uint64(k[:]) >> 1 }

// snapshot is the refs at one time. It does not change but for what is atomic.
type snapshot struct {
	stamp refsStamp
	read  time.Time    // when the refs were read
	seen  atomic.Int64 // when they were last known to be the same, in Unix nanoseconds

	folders map[key]*refFolder
	refs    map[key]*refEntry
}

// refFolder is a directory of refs.
type refFolder struct {
	key    key
	parent *refFolder // nil for the root
	names  []refName  // by cookie
	byName map[string]int
	change uint64 // differs where names or what they point to do
}

// refName is an entry of a folder: another folder or a ref.
type refName struct {
	name   string
	cookie uint64
	folder *refFolder
	ref    *refEntry
}

// refEntry is a ref or the revision, and what it points to.
type refEntry struct {
	key    key
	parent *refFolder // nil for the revision, which is the root
	id     plumbing.Hash
}

// snapshot returns the refs as they were a moment ago.
func (f *FS) snapshot(ctx context.Context) *snapshot {
	s := f.now.Load()
	if f.opt.Revision != "" && fixed(f.opt.Revision) || time.Since(time.Unix(0, s.seen.Load())) < f.opt.Look || !f.look.TryLock() {
		return s
	}
	defer f.look.Unlock()
	next, err := f.refreshed(ctx, s)
	if err != nil {
		if ctx.Err() == nil {
			f.complain("the refs", fmt.Errorf("what they were is served on: %w", err))
		}
		next = s
	}
	next.seen.Store(time.Now().UnixNano())
	f.now.Store(next)
	return next
}

// raceWindow is how coarse the times of files may be. What was changed so
// shortly before it was read may have been changed once more since.
const raceWindow = 2 * time.Second

// refreshed is s if nothing has changed since.
func (f *FS) refreshed(ctx context.Context, s *snapshot) (*snapshot, error) {
	stamp, err := f.repo.refsStamp()
	if err != nil {
		return nil, err
	}
	if stamp == s.stamp && s.read.Sub(stamp.newest) > raceWindow {
		return s, nil
	}
	return f.read(ctx)
}

// read reads the refs.
func (f *FS) read(ctx context.Context) (*snapshot, error) {
	s := &snapshot{read: time.Now(), refs: map[key]*refEntry{}, folders: map[key]*refFolder{}}
	s.seen.Store(s.read.UnixNano())
	var err error
	if s.stamp, err = f.repo.refsStamp(); err != nil { // before the refs, not to miss a change in between
		return nil, err
	}
	refs, err := f.repo.allRefs()
	if err != nil {
		return nil, err
	}
	if rev := f.opt.Revision; rev != "" {
		return s, f.readRevision(ctx, s, rev, refs)
	}
	top := s.folder("")
	for _, place := range places {
		if place.always {
			s.folderIn(top, place.folder)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(refs)) { // a before a/b, which cannot be then
		if err := s.add(name, refs[name]); err != nil {
			f.complain(name, err)
		}
	}
	for _, folder := range s.folders {
		slices.SortFunc(folder.names, func(a, b refName) int { return cmp.Compare(a.cookie, b.cookie) })
		sum := sha256.New()
		for i, n := range folder.names {
			folder.byName[n.name] = i
			fmt.Fprintf(sum, "%s\x00", n.name)
			if n.ref != nil {
				sum.Write(n.ref.id[:])
			}
		}
		folder.change = key(sum.Sum(nil)[:8]).number()
	}
	return s, nil
}

// readRevision finds what the revision means now.
func (f *FS) readRevision(ctx context.Context, s *snapshot, rev string, refs map[string]plumbing.Hash) error {
	c, err := f.resolve(ctx, rev, refs)
	if err != nil {
		return err
	}
	k := revisionKey(rev)
	if before := f.now.Load(); before == nil || before.refs[k].id != c.id {
		f.opt.Log.Info().Str("repository", f.repo.common).Str("revision", rev).Stringer("commit", c.id).Msg("serving a commit")
	}
	s.refs[k] = &refEntry{key: k, id: c.id}
	return nil
}

// places are where refs are found.
var places = []struct {
	prefix, folder string
	always         bool // also if there are none
}{
	{"refs/heads/", "branches", true},
	{"refs/tags/", "tags", true},
	{"refs/remotes/", "remotes", true},
	{"refs/", "other", false},
	{"", "", false}, // HEAD
}

var errNoPlace = errors.New("the ref is left out, since its name is no path")

// add puts a ref where it is found.
func (s *snapshot) add(name string, id plumbing.Hash) error {
	path := ""
	for _, p := range places {
		if rest, ok := strings.CutPrefix(name, p.prefix); ok {
			path = strings.TrimPrefix(p.folder+"/"+rest, "/")
			break
		}
	}
	parts := strings.Split(path, "/")
	dir := s.folder("")
	for i, part := range parts {
		if vfs.CheckName(part) != nil {
			return errNoPlace
		}
		if i == len(parts)-1 {
			break
		}
		if dir = s.folderIn(dir, strings.Join(parts[:i+1], "/")); dir == nil {
			return fmt.Errorf("%w: there is a ref whose name it begins with", errNoPlace)
		}
	}
	last := parts[len(parts)-1]
	k := refKey(name)
	if _, taken := dir.byName[last]; taken || s.refs[k] != nil {
		return fmt.Errorf("%w: it is taken", errNoPlace)
	}
	r := &refEntry{key: k, parent: dir, id: id}
	s.refs[k] = r
	dir.enter(refName{name: last, ref: r})
	return nil
}

// folder returns the folder of that path.
func (s *snapshot) folder(path string) *refFolder {
	k := folderKey(path)
	d := s.folders[k]
	if d == nil {
		d = &refFolder{key: k, byName: map[string]int{}}
		s.folders[k] = d
	}
	return d
}

// folderIn is folder for one in another, nil if there is a ref of that name.
func (s *snapshot) folderIn(parent *refFolder, path string) *refFolder {
	name := path[strings.LastIndexByte(path, '/')+1:]
	if i, taken := parent.byName[name]; taken {
		return parent.names[i].folder
	}
	d := s.folder(path)
	d.parent = parent
	parent.enter(refName{name: name, folder: d})
	return d
}

func (d *refFolder) enter(n refName) {
	n.cookie = nameCookie(n.name)
	d.byName[n.name] = len(d.names)
	d.names = append(d.names, n)
}
