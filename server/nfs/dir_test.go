package nfs_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/fsva/fsva/server/nfs/nfs4"
	"github.com/fsva/fsva/tests/nfs41"
)

func TestDirectoryIsListedOnceAndWhole(t *testing.T) {
	g := start(t).mount(nfs41.Config{})
	const n = 1000
	for i := range n {
		g.must(nfs41.PutFH(g.root), &nfs41.Create{Type: nfs41.TypeDir, Name: fmt.Sprint("d", i)})
	}
	seen := map[string]bool{}
	rd := nfs41.ReadDir{MaxCount: 4096, Mask: nfs41.Mask(nfs41.AttrType, nfs41.AttrFileID, nfs41.AttrFileHandle, nfs41.AttrRdattrError)}
	for i := 0; ; i++ {
		g.must(nfs41.PutFH(g.root), &rd)
		for _, e := range rd.Entries {
			if seen[e.Name] {
				t.Fatalf("%s twice", e.Name)
			}
			seen[e.Name] = true
			if e.Attrs.Type != nfs41.TypeDir || e.Attrs.FileID == 0 || len(e.Attrs.FileHandle) == 0 {
				t.Fatalf("%s: %+v", e.Name, e.Attrs)
			}
		}
		// What comes and goes meanwhile disturbs nobody.
		g.must(nfs41.PutFH(g.root), &nfs41.Create{Type: nfs41.TypeDir, Name: fmt.Sprint("late", i)})
		if i > 0 {
			g.must(nfs41.PutFH(g.root), &nfs41.Remove{Name: fmt.Sprint("late", i-1)})
		}
		if !rd.Next() {
			break
		}
	}
	for i := range n {
		if !seen[fmt.Sprint("d", i)] {
			t.Errorf("d%d was not listed", i)
		}
	}
}

func TestListingKeepsItsLimits(t *testing.T) {
	g := start(t).mount(nfs41.Config{})
	g.must(nfs41.PutFH(g.root), &nfs41.Create{Type: nfs41.TypeDir, Name: "a-name-that-needs-its-room"})
	g.expect(nfs41.NFS4ERR_TOOSMALL, nfs41.PutFH(g.root), &nfs41.ReadDir{MaxCount: 40})
	g.expect(nfs41.NFS4ERR_BAD_COOKIE, nfs41.PutFH(g.root), &nfs41.ReadDir{Cookie: 1, MaxCount: 4096})
	g.expect(nfs41.NFS4ERR_NOT_SAME, nfs41.PutFH(g.root), &nfs41.ReadDir{Cookie: 100, CookieVerf: nfs41.Verifier{1}, MaxCount: 4096})
	f := g.create("f")
	g.expect(nfs41.NFS4ERR_NOTDIR, nfs41.PutFH(f.fh), &nfs41.ReadDir{MaxCount: 4096})
	g.expect(nfs41.NFS4ERR_INVAL, nfs41.PutFH(g.root), &nfs41.ReadDir{MaxCount: 4096, Mask: nfs41.Mask(nfs41.AttrTimeModifySet)})
}

func TestChangeInfoOfADirectoryIsItsChangeAttribute(t *testing.T) {
	g := start(t).mount(nfs41.Config{})
	sub := nfs41.Create{Type: nfs41.TypeDir, Name: "sub"}
	var subFH nfs41.GetFH
	before := g.change(g.root)
	g.must(nfs41.PutFH(g.root), &sub, &subFH)
	check := func(what string, dir nfs41.FH, before uint64, ci nfs41.ChangeInfo) {
		t.Helper()
		after := g.change(dir)
		if !ci.Atomic || ci.Before != before || ci.After != after || after <= before {
			t.Errorf("%s: %+v; the attribute went from %d to %d", what, ci, before, after)
		}
	}
	check("CREATE", g.root, before, sub.Change)

	before = g.change(g.root)
	f := g.create("f")
	before2 := g.change(g.root)
	link := nfs41.Link{Name: "hard"}
	g.must(nfs41.PutFH(f.fh), nfs41.SaveFH{}, nfs41.PutFH(g.root), &link)
	check("LINK", g.root, before2, link.Change)
	if before2 <= before {
		t.Error("OPEN that created did not change the directory")
	}

	before, beforeSub := g.change(g.root), g.change(subFH.FH)
	mv := nfs41.Rename{Old: "hard", New: "moved"}
	g.must(nfs41.PutFH(g.root), nfs41.SaveFH{}, nfs41.PutFH(subFH.FH), &mv)
	check("RENAME, source", g.root, before, mv.Source)
	check("RENAME, target", subFH.FH, beforeSub, mv.Target)

	before = g.change(subFH.FH)
	rm := nfs41.Remove{Name: "moved"}
	g.must(nfs41.PutFH(subFH.FH), &rm)
	check("REMOVE", subFH.FH, before, rm.Change)
}

func TestNamesThatCannotBe(t *testing.T) {
	g := start(t).mount(nfs41.Config{})
	long := make([]byte, 256)
	for i := range long {
		long[i] = 'x'
	}
	for name, want := range map[string]nfs41.Status{
		"":           nfs41.NFS4ERR_INVAL,
		".":          nfs41.NFS4ERR_BADNAME,
		"..":         nfs41.NFS4ERR_BADNAME,
		"a/b":        nfs41.NFS4ERR_BADCHAR,
		"a\x00b":     nfs41.NFS4ERR_BADCHAR,
		string(long): nfs41.NFS4ERR_NAMETOOLONG,
	} {
		g.expect(want, nfs41.PutFH(g.root), nfs41.Lookup(name))
		g.expect(want, nfs41.PutFH(g.root), &nfs41.Create{Type: nfs41.TypeDir, Name: name})
		g.expect(want, nfs41.PutFH(g.root), &nfs41.Remove{Name: name})
		g.expect(want, nfs41.PutFH(g.root), &nfs41.Open{Access: nfs41.ShareRead, Owner: []byte("o"), Name: name})
	}
}

func TestNamesNeedNotBeUTF8(t *testing.T) {
	g := start(t).mount(nfs41.Config{})
	const latin1, renamed = "caf\xe9", "\xff\xfe"
	g.must(nfs41.PutFH(g.root), &nfs41.Create{Type: nfs41.TypeDir, Name: latin1})
	g.must(nfs41.PutFH(g.root), nfs41.SaveFH{}, &nfs41.Rename{Old: latin1, New: renamed})
	list := nfs41.ReadDir{MaxCount: 4096}
	g.must(nfs41.PutFH(g.root), nfs41.Lookup(renamed), nfs41.LookupP{}, &list)
	if len(list.Entries) != 1 || list.Entries[0].Name != renamed {
		t.Errorf("listed %+v", list.Entries)
	}
	if cs := g.attrs(g.root, nfs41.AttrFSCharsetCap); cs.FSCharsetCap != nfs4.FSCharsetNonUTF8 {
		t.Errorf("fs_charset_cap is %d", cs.FSCharsetCap)
	}
	g.must(nfs41.PutFH(g.root), &nfs41.Remove{Name: renamed})
}

func TestExportsStandUnderThePseudoRoot(t *testing.T) {
	g := start(t).mount(nfs41.Config{})
	rd := nfs41.ReadDir{MaxCount: 4096, Mask: nfs41.Mask(nfs41.AttrFSID, nfs41.AttrFileID, nfs41.AttrMountedOnFileID)}
	root := nfs41.GetAttr{Mask: nfs41.Mask(nfs41.AttrFSID)}
	g.must(nfs41.PutRootFH{}, &root, &rd)
	mounted := map[uint64]string{}
	fsids := map[nfs41.FSID]string{root.Attrs.FSID: "/"}
	for _, e := range rd.Entries {
		if other, taken := fsids[e.Attrs.FSID]; taken {
			t.Errorf("%s has the fsid of %s", e.Name, other)
		}
		fsids[e.Attrs.FSID] = e.Name
		if other, taken := mounted[e.Attrs.MountedOnFileID]; taken {
			t.Errorf("%s stands on the junction of %s", e.Name, other)
		}
		mounted[e.Attrs.MountedOnFileID] = e.Name
	}
	if len(rd.Entries) != 2 || !rd.EOF {
		t.Errorf("%d exports, want data and src", len(rd.Entries))
	}
	var up nfs41.GetFH
	var top nfs41.GetFH
	g.must(nfs41.PutFH(g.root), nfs41.LookupP{}, &up)
	g.must(nfs41.PutRootFH{}, &top)
	if string(up.FH) != string(top.FH) {
		t.Error("above an export is something else than the pseudo root")
	}
	g.expect(nfs41.NFS4ERR_NOENT, nfs41.PutRootFH{}, nfs41.LookupP{})
	g.expect(nfs41.NFS4ERR_NOENT, nfs41.PutRootFH{}, nfs41.Lookup("nowhere"))
	src, err := g.Walk("src")
	if err != nil {
		t.Fatal(err)
	}
	g.expect(nfs41.NFS4ERR_XDEV, nfs41.PutFH(src), nfs41.SaveFH{}, nfs41.PutFH(g.root), &nfs41.Rename{Old: "readme", New: "x"})
}

func TestSecinfoTakesTheFilehandleAway(t *testing.T) {
	g := start(t).mount(nfs41.Config{})
	g.expect(nfs41.NFS4ERR_NOFILEHANDLE, nfs41.PutRootFH{}, &nfs41.SecInfo{Name: "data"}, &nfs41.GetFH{})
	g.expect(nfs41.NFS4ERR_NOFILEHANDLE, nfs41.PutRootFH{}, &nfs41.SecInfoNoName{}, &nfs41.GetFH{})
	g.expect(nfs41.NFS4ERR_NOENT, nfs41.PutRootFH{}, &nfs41.SecInfoNoName{Parent: true})
	info := nfs41.SecInfo{Name: "data"}
	g.must(nfs41.PutRootFH{}, &info)
	if !slices.Equal(info.Flavors, []nfs41.SecFlavor{nfs41.FlavorSys, nfs41.FlavorNone}) {
		t.Errorf("flavors %v", info.Flavors)
	}
}
