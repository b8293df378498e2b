package nfs_test

import (
	"testing"

	"github.com/fsva/fsva/server/nfs/nfs4"
	"github.com/fsva/fsva/tests/nfs41"
)

func TestEverySupportedAttributeIsGiven(t *testing.T) {
	g := start(t).mount(nfs41.Config{})
	f := g.create("f")
	supported := g.attrs(f.fh, nfs41.AttrSupportedAttrs).SupportedAttrs
	want := supported
	for _, writeOnly := range []uint32{nfs41.AttrTimeAccessSet, nfs41.AttrTimeModifySet, uint32(nfs4.AttrModeSetMasked)} {
		if !supported.Has(writeOnly) {
			t.Errorf("attribute %d cannot be set", writeOnly)
		}
		want[writeOnly/32] &^= 1 << (writeOnly % 32)
	}
	get := nfs41.GetAttr{Mask: want}
	g.must(nfs41.PutFH(f.fh), &get)
	for n := range uint32(96) {
		if want.Has(n) && !get.Attrs.Mask.Has(n) {
			t.Errorf("attribute %d is supported and was not given", n)
		}
	}
	a := &get.Attrs
	if a.Type != nfs41.TypeReg || a.Mode != 0o644 || a.NumLinks != 1 || a.FHExpireType != 0 || a.Owner != "0" {
		t.Errorf("%+v", a)
	}
}

func TestSetAttrIsAllOrNothing(t *testing.T) {
	g := start(t).mount(nfs41.Config{Cred: nfs41.Cred{UID: 0}})
	f := g.create("f")
	set := func(want nfs41.Status, a nfs41.Attrs) {
		t.Helper()
		op := nfs41.SetAttr{Stateid: f.sid, Attrs: a}
		g.expect(want, nfs41.PutFH(f.fh), &op)
		for _, w := range op.Set {
			if w != 0 {
				t.Errorf("%v: attributes %v were set all the same", want, op.Set)
			}
		}
	}
	set(nfs41.NFS4ERR_INVAL, nfs41.Attrs{Mask: nfs41.Mask(nfs41.AttrSize, nfs41.AttrMode), Size: 10, Mode: 0o100644})
	set(nfs41.NFS4ERR_BADOWNER, nfs41.Attrs{Mask: nfs41.Mask(nfs41.AttrMode, nfs41.AttrOwner), Mode: 0o600, Owner: "root@example.org"})
	set(nfs41.NFS4ERR_INVAL, nfs41.Attrs{Mask: nfs41.Mask(nfs41.AttrFileID), FileID: 7})
	set(nfs41.NFS4ERR_ATTRNOTSUPP, nfs41.Attrs{Mask: nfs41.Mask(nfs41.AttrHidden), Hidden: true})
	if a := g.attrs(f.fh, nfs41.AttrSize, nfs41.AttrMode); a.Size != 0 || a.Mode != 0o644 {
		t.Errorf("size %d, mode %o after SETATTRs that failed", a.Size, a.Mode)
	}

	both := nfs41.SetAttr{Stateid: f.sid, Attrs: nfs41.Attrs{
		Mask: nfs41.Mask(nfs41.AttrSize, nfs41.AttrMode, nfs41.AttrTimeModifySet), Size: 7, Mode: 0o600,
		TimeModifySet: nfs41.SetTime{Client: true, Time: nfs41.Time{Sec: 1000, Nsec: 5}},
	}}
	g.must(nfs41.PutFH(f.fh), &both)
	a := g.attrs(f.fh, nfs41.AttrSize, nfs41.AttrMode, nfs41.AttrTimeModify)
	if a.Size != 7 || a.Mode != 0o600 || a.TimeModify != (nfs41.Time{Sec: 1000, Nsec: 5}) {
		t.Errorf("%+v", a)
	}
}

func TestSizeIsSetOnlyOfFiles(t *testing.T) {
	g := start(t).mount(nfs41.Config{})
	size := nfs41.SetAttr{Attrs: nfs41.Attrs{Mask: nfs41.Mask(nfs41.AttrSize), Size: 1}}
	g.expect(nfs41.NFS4ERR_ISDIR, nfs41.PutFH(g.root), &size)
}

func TestVerifyCompares(t *testing.T) {
	g := start(t).mount(nfs41.Config{})
	f := g.create("f")
	is := nfs41.Attrs{Mask: nfs41.Mask(nfs41.AttrSize, nfs41.AttrMode), Mode: 0o644}
	isNot := is
	isNot.Mode = 0o600
	g.must(nfs41.PutFH(f.fh), &nfs41.Verify{Attrs: is}, &nfs41.NVerify{Attrs: isNot})
	g.expect(nfs41.NFS4ERR_NOT_SAME, nfs41.PutFH(f.fh), &nfs41.Verify{Attrs: isNot})
	g.expect(nfs41.NFS4ERR_SAME, nfs41.PutFH(f.fh), &nfs41.NVerify{Attrs: is})
	g.expect(nfs41.NFS4ERR_INVAL, nfs41.PutFH(f.fh), &nfs41.Verify{Attrs: nfs41.Attrs{Mask: nfs41.Mask(nfs41.AttrRdattrError)}})
}

func TestPermissionsAreTheCallers(t *testing.T) {
	r := start(t)
	root := r.mount(nfs41.Config{})
	root.must(nfs41.PutFH(root.root), &nfs41.SetAttr{Attrs: nfs41.Attrs{Mask: nfs41.Mask(nfs41.AttrMode), Mode: 0o755}})
	f := root.create("f") // 0644, root's
	user := r.mount(nfs41.Config{Cred: nfs41.Cred{UID: 1000, GID: 1000}})
	acc := nfs41.Access{Want: nfs41.AccessRead | nfs41.AccessModify | nfs41.AccessExtend}
	user.must(nfs41.PutFH(f.fh), &acc)
	if acc.Granted != nfs41.AccessRead {
		t.Errorf("granted %#x", acc.Granted)
	}
	user.must(nfs41.PutFH(user.root), &nfs41.Open{Access: nfs41.ShareRead, Owner: []byte("o"), Name: "f"})
	for _, op := range []nfs41.Op{
		&nfs41.Open{Access: nfs41.ShareWrite, Owner: []byte("o"), Name: "f"},
		&nfs41.Open{Access: nfs41.ShareRead, Owner: []byte("o"), Create: nfs41.Guarded, Name: "new"},
		&nfs41.Create{Type: nfs41.TypeDir, Name: "d"},
		&nfs41.Remove{Name: "f"},
	} {
		user.expect(nfs41.NFS4ERR_ACCESS, nfs41.PutFH(user.root), op)
	}
	user.expect(nfs41.NFS4ERR_ACCESS, nfs41.PutFH(f.fh), &nfs41.Write{Stateid: nfs41.Anonymous, Data: []byte("x")})
	user.expect(nfs41.NFS4ERR_PERM, nfs41.PutFH(f.fh), &nfs41.SetAttr{Attrs: nfs41.Attrs{Mask: nfs41.Mask(nfs41.AttrMode), Mode: 0o777}})
}

// AUTH_NONE claims nothing: its caller is the anonymous user whatever the squash
// rule, and SECINFO says that one may come so.
func TestCallerWithoutACredentialIsAnonymous(t *testing.T) {
	r := start(t)
	g := r.mount(nfs41.Config{})
	g.must(nfs41.PutFH(g.root), &nfs41.SetAttr{Attrs: nfs41.Attrs{Mask: nfs41.Mask(nfs41.AttrMode), Mode: 0o777}})
	private := g.create("private")
	g.must(nfs41.PutFH(private.fh), &nfs41.SetAttr{Stateid: private.sid, Attrs: nfs41.Attrs{Mask: nfs41.Mask(nfs41.AttrMode), Mode: 0o600}})

	nobody := r.mount(nfs41.Config{Cred: nfs41.Cred{None: true}})
	f := nobody.create("f")
	if owner := nobody.attrs(f.fh, nfs41.AttrOwner).Owner; owner != "65534" {
		t.Errorf("its file belongs to %s", owner)
	}
	nobody.expect(nfs41.NFS4ERR_ACCESS, nfs41.PutFH(nobody.root),
		&nfs41.Open{Access: nfs41.ShareRead, Owner: []byte("o"), Name: "private"})
}
