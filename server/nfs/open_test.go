package nfs_test

import (
	"testing"

	"github.com/fsva/fsva/tests/nfs41"
)

func TestCreateModes(t *testing.T) {
	g := start(t).mount(nfs41.Config{})
	g.create("there")
	size := func(mode nfs41.CreateMode, name string) *nfs41.Open {
		return &nfs41.Open{Access: nfs41.ShareBoth, Owner: []byte("o2"), Create: mode, Name: name,
			Attrs: nfs41.Attrs{Mask: nfs41.Mask(nfs41.AttrMode), Mode: 0o600}}
	}
	g.expect(nfs41.NFS4ERR_EXIST, nfs41.PutFH(g.root), size(nfs41.Guarded, "there"))
	g.must(nfs41.PutFH(g.root), size(nfs41.Unchecked, "there"))
	if f := g.open(size(nfs41.Unchecked, "there")); g.attrs(f.fh, nfs41.AttrMode).Mode != 0o644 {
		t.Error("UNCHECKED changed the mode of a file that was there")
	}
	f := g.open(size(nfs41.Unchecked, "new"))
	if m := g.attrs(f.fh, nfs41.AttrMode).Mode; m != 0o600 {
		t.Errorf("mode of the new file is %o", m)
	}
	g.expect(nfs41.NFS4ERR_NOENT, nfs41.PutFH(g.root), &nfs41.Open{Access: nfs41.ShareRead, Owner: []byte("o"), Name: "missing"})
}

// RFC 8881 §18.16.3. Delegations are not given, so that nothing can be claimed
// by them.
func TestClaims(t *testing.T) {
	r := start(t)
	g := r.mount(nfs41.Config{})
	f := g.create("f")
	made := func(claim nfs41.Claim, create nfs41.CreateMode) *nfs41.Open {
		return &nfs41.Open{Access: nfs41.ShareRead, Owner: []byte("o"), Name: "f", Claim: claim, Create: create, DelegStateid: f.sid}
	}
	byFH := made(nfs41.ClaimFH, nfs41.NoCreate)
	g.must(nfs41.PutFH(f.fh), byFH, &nfs41.Read{Stateid: nfs41.CurrentStateid, Count: 1})
	for _, tt := range []struct {
		on    nfs41.FH
		claim nfs41.Claim
		want  nfs41.Status
	}{
		{g.root, nfs41.ClaimFH, nfs41.NFS4ERR_ISDIR},
		{f.fh, nfs41.ClaimNull, nfs41.NFS4ERR_NOTDIR},
		{f.fh, nfs41.ClaimPrevious, nfs41.NFS4ERR_NO_GRACE},
		{g.root, nfs41.ClaimDelegateCur, nfs41.NFS4ERR_BAD_STATEID},
		{f.fh, nfs41.ClaimDelegCurFH, nfs41.NFS4ERR_BAD_STATEID},
		{g.root, nfs41.ClaimDelegatePrev, nfs41.NFS4ERR_NOTSUPP},
		{f.fh, nfs41.ClaimDelegPrevFH, nfs41.NFS4ERR_NOTSUPP},
	} {
		g.expect(tt.want, nfs41.PutFH(tt.on), made(tt.claim, nfs41.NoCreate))
		if tt.claim != nfs41.ClaimNull { // only a name can be created
			g.expect(nfs41.NFS4ERR_INVAL, nfs41.PutFH(tt.on), made(tt.claim, nfs41.Unchecked))
		}
	}
	g.expect(nfs41.NFS4ERR_NOTSUPP, &nfs41.RawOp{Op: nfs41.OpDelegPurge})
	g.expect(nfs41.NFS4ERR_BAD_STATEID, nfs41.PutFH(f.fh), nfs41.DelegReturn(f.sid))

	// What a client may claim before it is done reclaiming is refused at once:
	// NFS4ERR_GRACE would have it ask again.
	r.restart()
	g = r.mount(nfs41.Config{Reclaiming: true})
	g.expect(nfs41.NFS4ERR_NOTSUPP, nfs41.PutFH(g.root), made(nfs41.ClaimDelegatePrev, nfs41.NoCreate))
	g.expect(nfs41.NFS4ERR_GRACE, nfs41.PutFH(f.fh), made(nfs41.ClaimFH, nfs41.NoCreate))
}

func TestUncheckedCreateTruncatesOnlyWhenAsked(t *testing.T) {
	g := start(t).mount(nfs41.Config{})
	f := g.create("f")
	g.must(nfs41.PutFH(f.fh), &nfs41.Write{Stateid: f.sid, Data: []byte("12345"), Stable: nfs41.FileSync})
	open := nfs41.Open{Access: nfs41.ShareBoth, Owner: []byte("o"), Create: nfs41.Unchecked, Name: "f"}
	g.open(&open)
	if n := g.attrs(f.fh, nfs41.AttrSize).Size; n != 5 {
		t.Fatalf("size %d after a create without size", n)
	}
	open.Attrs.Mask = nfs41.Mask(nfs41.AttrSize)
	g.open(&open)
	if n := g.attrs(f.fh, nfs41.AttrSize).Size; n != 0 {
		t.Errorf("size %d after a create with size 0", n)
	}
}

// RFC 8881 §18.16.3: an exclusive create that is sent again, also after the
// server has restarted, finds its own file and no other.
func TestExclusiveCreateKnowsItsOwnFile(t *testing.T) {
	r := start(t)
	g := r.mount(nfs41.Config{})
	exclusive := func(v byte) *nfs41.Open {
		return &nfs41.Open{Access: nfs41.ShareBoth, Owner: []byte("o"), Create: nfs41.Exclusive41, Name: "f",
			Verifier: nfs41.Verifier{0xff, 1, 2, 3, 4, 5, 6, v},
			Attrs:    nfs41.Attrs{Mask: nfs41.Mask(nfs41.AttrMode), Mode: 0o640}}
	}
	first := exclusive(1)
	f := g.open(first)
	if !first.Set.Has(nfs41.AttrTimeAccess) && !first.Set.Has(nfs41.AttrTimeModify) {
		t.Error("the client is not told that the times hold the verifier")
	}
	if same := g.open(exclusive(1)); string(same.fh) != string(f.fh) {
		t.Error("sent again: another file")
	}
	g.expect(nfs41.NFS4ERR_EXIST, nfs41.PutFH(g.root), exclusive(2))
	r.restart()
	r.pass(2 * r.lease) // the first client does not come back
	g = r.mount(nfs41.Config{})
	g.must(nfs41.PutFH(g.root), exclusive(1))
}

func TestShareReservationsExclude(t *testing.T) {
	g := start(t).mount(nfs41.Config{})
	open := func(owner string, access, deny uint32) *nfs41.Open {
		return &nfs41.Open{Access: access, Deny: deny, Owner: []byte(owner), Create: nfs41.Unchecked, Name: "f"}
	}
	a := open("a", nfs41.ShareRead, nfs41.DenyWrite)
	f := g.open(a)
	g.expect(nfs41.NFS4ERR_SHARE_DENIED, nfs41.PutFH(g.root), open("b", nfs41.ShareWrite, nfs41.DenyNone))
	g.must(nfs41.PutFH(g.root), open("b", nfs41.ShareRead, nfs41.DenyNone))
	g.expect(nfs41.NFS4ERR_SHARE_DENIED, nfs41.PutFH(g.root), open("c", nfs41.ShareRead, nfs41.DenyRead))
	g.expect(nfs41.NFS4ERR_LOCKED, nfs41.PutFH(f.fh), &nfs41.Write{Stateid: nfs41.Anonymous, Data: []byte("x")})
	g.must(nfs41.PutFH(f.fh), &nfs41.Close{Stateid: a.Stateid})
	g.must(nfs41.PutFH(g.root), open("b", nfs41.ShareWrite, nfs41.DenyNone))
}

func TestOpenOfTheSameOwnerAddsUpAndDowngrades(t *testing.T) {
	g := start(t).mount(nfs41.Config{})
	read := nfs41.Open{Access: nfs41.ShareRead, Owner: []byte("o"), Create: nfs41.Unchecked, Name: "f"}
	f := g.open(&read)
	write := nfs41.Open{Access: nfs41.ShareWrite, Owner: []byte("o"), Name: "f"}
	g.open(&write)
	if write.Stateid.Other != read.Stateid.Other || write.Stateid.Seq != read.Stateid.Seq+1 {
		t.Fatalf("the second OPEN gave %v after %v", write.Stateid, read.Stateid)
	}
	g.must(nfs41.PutFH(f.fh), &nfs41.Write{Stateid: write.Stateid, Data: []byte("x")})
	g.expect(nfs41.NFS4ERR_OLD_STATEID, nfs41.PutFH(f.fh), &nfs41.Write{Stateid: read.Stateid, Data: []byte("x")})
	down := nfs41.OpenDowngrade{Stateid: write.Stateid, Access: nfs41.ShareRead}
	g.must(nfs41.PutFH(f.fh), &down)
	g.expect(nfs41.NFS4ERR_OPENMODE, nfs41.PutFH(f.fh), &nfs41.Write{Stateid: down.Stateid, Data: []byte("x")})
	g.expect(nfs41.NFS4ERR_INVAL, nfs41.PutFH(f.fh), &nfs41.OpenDowngrade{Stateid: down.Stateid, Access: nfs41.ShareBoth})
	g.must(nfs41.PutFH(f.fh), &nfs41.Close{Stateid: down.Stateid})
	g.expect(nfs41.NFS4ERR_BAD_STATEID, nfs41.PutFH(f.fh), &nfs41.Close{Stateid: down.Stateid})
}

func TestOnlyRegularFilesAreOpened(t *testing.T) {
	g := start(t).mount(nfs41.Config{})
	g.must(nfs41.PutFH(g.root), &nfs41.Create{Type: nfs41.TypeDir, Name: "dir"})
	g.must(nfs41.PutFH(g.root), &nfs41.Create{Type: nfs41.TypeLnk, Target: "dir", Name: "link"})
	g.must(nfs41.PutFH(g.root), &nfs41.Create{Type: nfs41.TypeFifo, Name: "fifo"})
	for name, want := range map[string]nfs41.Status{
		"dir": nfs41.NFS4ERR_ISDIR, "link": nfs41.NFS4ERR_SYMLINK, "fifo": nfs41.NFS4ERR_WRONG_TYPE,
	} {
		g.expect(want, nfs41.PutFH(g.root), &nfs41.Open{Access: nfs41.ShareRead, Owner: []byte("o"), Name: name})
	}
}

func TestUnlinkedFileServesWhoHasItOpen(t *testing.T) {
	g := start(t).mount(nfs41.Config{})
	f := g.create("f")
	g.must(nfs41.PutFH(f.fh), &nfs41.Write{Stateid: f.sid, Data: []byte("kept")})
	g.must(nfs41.PutFH(g.root), &nfs41.Remove{Name: "f"})
	read := nfs41.Read{Stateid: f.sid, Count: 10}
	g.must(nfs41.PutFH(f.fh), &read)
	if string(read.Data) != "kept" || !read.EOF {
		t.Errorf("read %q, eof %v", read.Data, read.EOF)
	}
	g.must(nfs41.PutFH(f.fh), &nfs41.Close{Stateid: f.sid})
	g.expect(nfs41.NFS4ERR_STALE, nfs41.PutFH(f.fh), &nfs41.GetAttr{Mask: nfs41.Mask(nfs41.AttrSize)})
}

func TestReadOnlyExportRefusesEveryChange(t *testing.T) {
	g := start(t).mount(nfs41.Config{})
	src, err := g.Walk("src")
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range []nfs41.Op{
		&nfs41.Create{Type: nfs41.TypeDir, Name: "d"},
		&nfs41.Remove{Name: "readme"},
		&nfs41.Open{Access: nfs41.ShareWrite, Owner: []byte("o"), Name: "readme"},
		&nfs41.Open{Access: nfs41.ShareRead, Owner: []byte("o"), Create: nfs41.Guarded, Name: "new"},
		&nfs41.SetAttr{Attrs: nfs41.Attrs{Mask: nfs41.Mask(nfs41.AttrMode), Mode: 0o777}},
		&nfs41.SetXattr{Name: "a", Value: []byte("b")},
	} {
		g.expect(nfs41.NFS4ERR_ROFS, nfs41.PutFH(src), op)
	}
	g.must(nfs41.PutFH(src), &nfs41.Open{Access: nfs41.ShareRead, Owner: []byte("o"), Name: "readme"})
	g.expect(nfs41.NFS4ERR_ROFS, nfs41.PutRootFH{}, &nfs41.Create{Type: nfs41.TypeDir, Name: "d"})
}

// RFC 8881 §9.1.2: an open for writing may be read by, but reserves nothing for
// that, so that what others deny has to be looked at.
func TestReadByAnOpenForWritingMeetsDenyRead(t *testing.T) {
	g := start(t).mount(nfs41.Config{})
	f := g.open(&nfs41.Open{Access: nfs41.ShareWrite, Deny: nfs41.DenyRead, Owner: []byte("a"), Create: nfs41.Guarded, Name: "f"})
	read := nfs41.Read{Stateid: f.sid, Count: 1}
	g.must(nfs41.PutFH(f.fh), &read) // what it denies itself, it denies to others
	denier := nfs41.Open{Access: nfs41.ShareWrite, Deny: nfs41.DenyRead, Owner: []byte("b"), Name: "f"}
	g.must(nfs41.PutFH(g.root), &denier)
	g.expect(nfs41.NFS4ERR_LOCKED, nfs41.PutFH(f.fh), &read)
	g.must(nfs41.PutFH(f.fh), &nfs41.Close{Stateid: denier.Stateid})
	g.must(nfs41.PutFH(f.fh), &read)
}

// To make a file empty is to write to it, also where the open is for reading.
func TestTruncatingOpenMeetsDenyWrite(t *testing.T) {
	g := start(t).mount(nfs41.Config{})
	f := g.open(&nfs41.Open{Access: nfs41.ShareBoth, Deny: nfs41.DenyWrite, Owner: []byte("a"), Create: nfs41.Guarded, Name: "f"})
	g.must(nfs41.PutFH(f.fh), &nfs41.Write{Stateid: f.sid, Data: []byte("12345")})
	g.expect(nfs41.NFS4ERR_SHARE_DENIED, nfs41.PutFH(g.root), &nfs41.Open{
		Access: nfs41.ShareRead, Owner: []byte("b"), Create: nfs41.Unchecked, Name: "f",
		Attrs: nfs41.Attrs{Mask: nfs41.Mask(nfs41.AttrSize)},
	})
	if n := g.attrs(f.fh, nfs41.AttrSize).Size; n != 5 {
		t.Errorf("size %d", n)
	}
	g.must(nfs41.PutFH(f.fh), &nfs41.Close{Stateid: f.sid})
	// Nothing is left of the open that failed.
	g.must(nfs41.PutFH(g.root), &nfs41.Open{Access: nfs41.ShareBoth, Deny: nfs41.DenyBoth, Owner: []byte("c"), Name: "f"})
}
