package git_test

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fsva/fsva/adapters/git"
	"github.com/fsva/fsva/vfs"
)

// object makes a loose object of whatever, as git would not.
func (r repo) object(typ, content string) string {
	r.t.Helper()
	var deflated bytes.Buffer
	text := fmt.Sprintf("%s %d\x00%s", typ, len(content), content)
	w := zlib.NewWriter(&deflated)
	_, err := w.Write([]byte(text))
	check(r.t, err)
	check(r.t, w.Close())
	id := fmt.Sprintf("%x", sha1.Sum([]byte(text)))
	check(r.t, os.MkdirAll(filepath.Dir(r.objectFile(id)), 0o755))
	check(r.t, os.WriteFile(r.objectFile(id), deflated.Bytes(), 0o444))
	return id
}

// item is one of a tree's.
func item(mode, name, id string) string {
	raw, _ := hex.DecodeString(id) // which we made
	return mode + " " + name + "\x00" + string(raw)
}

// committed makes main a commit of a tree.
func (r repo) committed(tree string) {
	r.t.Helper()
	r.write(".git/refs/heads/main", r.object("commit", "tree "+tree+"\ncommitter C <c@example.com> 1700000000 +0000\n\nx")+"\n")
}

// A tree of ten that are the same tree of ten, and so on, is 10^12 files in 13
// objects.
func TestATreeOfMoreFilesThanFitAnywhereCanBeWalked(t *testing.T) {
	r := newRepo(t)
	mode, id := "100644", r.object("blob", "the end")
	for range 13 {
		var tree string
		for i := range 10 {
			tree += item(mode, fmt.Sprint(i), id)
		}
		mode, id = "40000", r.object("tree", tree)
	}
	r.committed(id)
	fs := serve(t, r.dir, git.Options{Revision: "main"})
	ids := map[uint64]string{}
	for _, path := range []string{"9/9/9/9/9/9/9/9/9/9/9/9/9", "9/9/9/9/9/9/9/9/9/9/9/9/8", "0/0/0/0/0/0/0/0/0/0/0/0/0", "5/0/0/0/0/0/0/0/0/0/0/0/0"} {
		n := walk(t, fs, path)
		again, err := fs.Resolve(ctx, n.Handle())
		check(t, err)
		holds(t, again, "the end")
		if other := ids[attr(t, again).FileID]; other != "" {
			t.Errorf("%s is %s, too", path, other)
		}
		ids[attr(t, n).FileID] = path
	}
}

func TestDirectoriesNestedTooDeepAreEIO(t *testing.T) {
	r := newRepo(t)
	tree := r.object("tree", "")
	for range 1100 {
		tree = r.object("tree", item("40000", "d", tree))
	}
	r.committed(tree)
	var log bytes.Buffer
	fs := serve(t, r.dir, git.Options{Revision: "main", Log: logTo(&log)})
	n, depth := fs.Root(), 0
	for {
		below, err := n.Lookup(ctx, vfs.Root, "d")
		if err != nil {
			fails(t, err, vfs.EIO)
			break
		}
		n = below
		depth++
	}
	if depth < 1000 || !strings.Contains(log.String(), "directories in each other") {
		t.Errorf("%d directories deep; the log:\n%s", depth, &log)
	}
}

// Trees in each other are all in memory while the innermost is counted.
func TestLargeTreesInEachOtherAreEIO(t *testing.T) {
	r := newRepo(t)
	var others strings.Builder
	blob := r.object("blob", "")
	for i := range 40_000 {
		others.WriteString(item("100644", fmt.Sprintf("%0230d", i), blob))
	}
	tree := r.object("tree", "")
	const levels = 8
	for range levels {
		tree = r.object("tree", others.String()+item("40000", "d", tree))
	}
	r.committed(tree)
	var log bytes.Buffer
	fs := serve(t, r.dir, git.Options{Revision: "main", Log: logTo(&log)})
	n, depth := fs.Root(), 0
	for ; depth < levels; depth++ {
		below, err := n.Lookup(ctx, vfs.Root, "d")
		if err != nil {
			fails(t, err, vfs.EIO)
			break
		}
		n = below
	}
	if depth < 3 || depth*others.Len() > 64<<20 || !strings.Contains(log.String(), "with those around it") {
		t.Errorf("%d trees of %d bytes in each other are read; the log:\n%s", depth, others.Len(), &log)
	}
}

func TestABlobLargerThanTheSpoolIsEFBIG(t *testing.T) {
	r := newRepo(t)
	r.write("huge", strings.Repeat("\x00", 8<<20))
	r.write("fits", noise(3, 2<<20))
	r.commit()
	fs := serve(t, r.dir, git.Options{Revision: "main", Spool: 4 << 20})
	_, err := content(walk(t, fs, "huge"))
	fails(t, err, vfs.EFBIG)
	holds(t, walk(t, fs, "fits"), noise(3, 2<<20))
}

func TestLinksThatLeadToNothingAreEIO(t *testing.T) {
	r := newRepo(t)
	var tree string
	for name, target := range map[string]string{"empty": "", "nul": "a\x00b", "long": strings.Repeat("x", 5000)} {
		tree += item("120000", name, r.object("blob", target))
	}
	r.committed(r.object("tree", tree))
	fs := serve(t, r.dir, git.Options{Revision: "main"})
	for _, name := range []string{"empty", "nul", "long"} {
		_, err := walk(t, fs, name).ReadLink(ctx, vfs.Root)
		fails(t, err, vfs.EIO)
	}
}
