package vfstest

import (
	"fmt"

	"github.com/fsva/fsva/vfs"
)

// fill makes n empty files.
func (e *env) fill(dir vfs.Node, n int) {
	e.Helper()
	for i := range n {
		e.create(dir, fmt.Sprint("entry", i))
	}
}

// page lists up to n entries from cookie on, and returns where to resume.
func (e *env) page(dir vfs.Node, cookie uint64, n int, want vfs.AttrMask, each func(*vfs.DirEntry)) (next uint64, eof bool) {
	e.Helper()
	took := 0
	next = cookie
	eof, err := dir.ReadDir(e.ctx, root, cookie, want, func(d *vfs.DirEntry) bool {
		if took == n {
			return false
		}
		took++
		next = d.Cookie
		if each != nil {
			each(d)
		}
		return true
	})
	if err != nil {
		e.Fatalf("ReadDir at %d: %v", cookie, err)
	}
	if !eof && took < n {
		e.Fatalf("ReadDir at %d stopped after %d of %d entries, which is not the end", cookie, took, n)
	}
	return next, eof
}

// each calls f with every entry, in pages of that many.
func (e *env) each(dir vfs.Node, page int, want vfs.AttrMask, f func(*vfs.DirEntry)) {
	e.Helper()
	for cookie, eof := uint64(0), false; !eof; {
		cookie, eof = e.page(dir, cookie, page, want, f)
	}
}

// once counts the names it is told, and says which came more than once.
type once map[string]int

func (o once) add(e *env, name string) {
	if o[name]++; o[name] == 2 {
		e.Errorf("%q is listed twice", name)
	}
}

// listsOnce wants n entries, each once, in pages of that many.
func (e *env) listsOnce(dir vfs.Node, page, n int) {
	e.Helper()
	seen := once{}
	e.each(dir, page, 0, func(d *vfs.DirEntry) {
		seen.add(e, d.Name)
		if d.Cookie <= 2 {
			e.Errorf("%q has cookie %d", d.Name, d.Cookie)
		}
	})
	if len(seen) != n {
		e.Errorf("%d of %d entries in pages of %d", len(seen), n, page)
	}
}

// resumes wants that the cookie of any entry leads to the one behind it.
func (e *env) resumes(dir vfs.Node) {
	e.Helper()
	var names []string
	var cookies []uint64
	e.each(dir, 1000, 0, func(d *vfs.DirEntry) { names, cookies = append(names, d.Name), append(cookies, d.Cookie) })
	for i := range cookies {
		var next string
		e.page(dir, cookies[i], 1, 0, func(d *vfs.DirEntry) { next = d.Name })
		want := ""
		if i+1 < len(names) {
			want = names[i+1]
		}
		if next != want {
			e.Errorf("behind %q comes %q, want %q", names[i], next, want)
		}
	}
}

// listsAsLookedUp wants that a listing tells the same as Lookup and GetAttr.
func (e *env) listsAsLookedUp(dir vfs.Node) {
	e.Helper()
	e.each(dir, 1, vfs.AttrAll|vfs.AttrNode, func(d *vfs.DirEntry) {
		n := e.lookup(dir, d.Name)
		a := e.attr(n)
		switch {
		case d.Err != nil:
			e.Errorf("%q: %v", d.Name, d.Err)
		case d.Node == nil || !same(d.Node, n):
			e.Errorf("%q has another node", d.Name)
		case d.FileID != a.FileID || d.Type != a.Type:
			e.Errorf("%q is %d of type %d, GetAttr says %d of type %d", d.Name, d.FileID, d.Type, a.FileID, a.Type)
		case d.Attr != a:
			e.Errorf("%q: listed %+v, GetAttr says %+v", d.Name, d.Attr, a)
		}
	})
	e.listsChanges(dir)
}

// listsChanges wants that a listing tells the change attributes, also when
// nothing else is asked for.
func (e *env) listsChanges(dir vfs.Node) {
	e.Helper()
	for _, want := range []vfs.AttrMask{vfs.AttrChange, vfs.AttrChange | vfs.AttrType | vfs.AttrFileID} {
		e.each(dir, 10, want, func(d *vfs.DirEntry) {
			change := e.attr(e.lookup(dir, d.Name)).Change
			if d.Err != nil || d.Attr.Valid&vfs.AttrChange == 0 || d.Attr.Change != change {
				e.Errorf("%q: change attribute %d (valid: %v), %v, GetAttr says %d",
					d.Name, d.Attr.Change, d.Attr.Valid&vfs.AttrChange != 0, d.Err, change)
			}
		})
	}
}

var listingChecks = []check{
	{name: "of an empty directory ends at once", run: func(e *env) {
		e.lists(e.root)
		e.lists(e.mkdir(e.root, "dir"))
	}},
	{name: "has each entry once, whatever the page", run: func(e *env) {
		const n = 300
		e.fill(e.root, n)
		for _, page := range []int{1, 2, 7, 100, n, n + 1} {
			e.listsOnce(e.root, page, n)
		}
	}},
	{name: "resumes behind any entry", run: func(e *env) {
		e.fill(e.root, 100)
		e.resumes(e.root)
	}},
	{name: "survives changes", run: func(e *env) {
		const n = 500
		e.fill(e.root, n)
		for i := 0; i < n; i += 2 {
			e.remove(e.root, fmt.Sprint("entry", i))
		}
		seen := once{}
		i := 0
		e.each(e.root, 10, 0, func(d *vfs.DirEntry) {
			seen.add(e, d.Name)
			// What the listing stands on goes, and others come.
			if i++; i%10 == 0 && d.Name[0] == 'e' {
				e.remove(e.root, d.Name)
				e.create(e.root, "new"+d.Name)
			}
		})
		for i := 1; i < n; i += 2 {
			if seen[fmt.Sprint("entry", i)] != 1 {
				e.Errorf("entry%d is listed %d times", i, seen[fmt.Sprint("entry", i)])
			}
		}
	}},
	{name: "lets all be removed on the way", run: func(e *env) {
		const n = 1000
		dir := e.mkdir(e.root, "dir")
		e.fill(dir, n)
		// As rm -r does: list a page, remove it, go on behind it.
		for cookie, eof := uint64(0), false; !eof; {
			var names []string
			cookie, eof = e.page(dir, cookie, 50, 0, func(d *vfs.DirEntry) { names = append(names, d.Name) })
			for _, name := range names {
				e.remove(dir, name)
			}
		}
		e.lists(dir)
		e.rmdir(e.root, "dir")
	}},
	{name: "has attributes and nodes as GetAttr and Lookup have", run: func(e *env) {
		e.file(e.root, "file", "content")
		e.mkdir(e.root, "dir")
		_, _, err := e.root.Symlink(e.ctx, root, "link", "target", nil)
		e.ok(err)
		e.listsAsLookedUp(e.root)
	}},
	{name: "of a large directory has each entry once", run: func(e *env) {
		n := e.entries
		dir := e.mkdir(e.root, "large")
		e.fill(dir, n)
		seen := make(once, n)
		e.each(dir, 1000, vfs.AttrType, func(d *vfs.DirEntry) { seen.add(e, d.Name) })
		if len(seen) != n {
			e.Errorf("%d of %d entries", len(seen), n)
		}
		e.lookup(dir, fmt.Sprint("entry", n-1))
	}},
}
