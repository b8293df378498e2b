package git

import (
	"context"
	"errors"
	"sort"

	"github.com/fsva/fsva/vfs"
)

// listing is what a directory holds at one time.
type listing interface {
	// lookup returns what has the name; ENOENT.
	lookup(ctx context.Context, name string) (place, error)
	len() int
	// from is the first entry behind the one with that cookie.
	from(cookie uint64) int
	// entry is the i-th entry; shown says whether guests see it.
	entry(ctx context.Context, i int) (name string, cookie uint64, p place, shown bool)
}

// firstCookie is above those that NFS reserves (RFC 8881 §18.23.3).
const firstCookie = 3

// treeListing is of a directory below a commit's own. A cookie is the number of
// the entry, since nothing there ever changes.
type treeListing struct {
	tip    *tip
	dir    *directory
	number uint64
}

func (l treeListing) lookup(_ context.Context, name string) (place, error) {
	i := l.dir.lookup(name)
	if i < 0 {
		return nil, vfs.ENOENT
	}
	return child(l.tip, l.dir, l.number, i), nil
}

func (l treeListing) len() int { return len(l.dir.items) }

func (l treeListing) from(cookie uint64) int {
	if cookie < firstCookie {
		return 0
	}
	return int(min(cookie-firstCookie+1, uint64(l.len())))
}

func (l treeListing) entry(_ context.Context, i int) (string, uint64, place, bool) {
	return l.dir.items[i].name, uint64(i) + firstCookie, child(l.tip, l.dir, l.number, i), true
}

// tipListing is of the commit that a ref points to. The ref may point to another
// one before a guest has read on, so that a cookie is made of the name: what both
// commits have is seen once.
type tipListing struct{ treeListing }

func (l tipListing) from(cookie uint64) int {
	all := l.dir.byHash()
	return sort.Search(len(all), func(i int) bool { return all[i].cookie > cookie })
}

func (l tipListing) entry(_ context.Context, i int) (string, uint64, place, bool) {
	h := l.dir.byHash()[i]
	return l.dir.items[h.item].name, h.cookie, child(l.tip, l.dir, 0, h.item), true
}

// folderListing is of a folder of refs. A ref that points to no tree is not
// shown.
type folderListing struct {
	f   *FS
	dir *refFolder
}

func (l folderListing) lookup(ctx context.Context, name string) (place, error) {
	i, ok := l.dir.byName[name]
	if !ok || !l.shown(ctx, i) {
		return nil, vfs.ENOENT
	}
	return l.at(i), nil
}

func (l folderListing) at(i int) place {
	if n := l.dir.names[i]; n.folder == nil {
		return ref(n.ref.key)
	}
	return folder(l.dir.names[i].folder.key)
}

// shown reports that there is a tree, or that there may be one that cannot be
// read: then who looks is told.
func (l folderListing) shown(ctx context.Context, i int) bool {
	n := l.dir.names[i]
	if n.folder != nil {
		return true
	}
	_, err := l.f.peel(ctx, n.ref.id)
	return !errors.Is(err, errNoTree)
}

func (l folderListing) len() int { return len(l.dir.names) }

func (l folderListing) from(cookie uint64) int {
	return sort.Search(l.len(), func(i int) bool { return l.dir.names[i].cookie > cookie })
}

func (l folderListing) entry(ctx context.Context, i int) (string, uint64, place, bool) {
	n := l.dir.names[i]
	return n.name, n.cookie, l.at(i), l.shown(ctx, i)
}
