package nfs_test

import (
	"errors"
	"testing"

	"github.com/rs/zerolog"

	"github.com/fsva/fsva/adapters/away"
	"github.com/fsva/fsva/tests/nfs41"
	"github.com/fsva/fsva/vfs/export"
)

// Guests keep what they have of a file system that is not there yet, and see
// the other exports as ever.
func TestFileSystemThatIsAwayHasGuestsWait(t *testing.T) {
	r := start(t)
	g := r.mount(nfs41.Config{})
	open := g.create("file")
	data, src := r.table.ByName("data"), r.table.ByName("src")
	absent := away.New(errors.New("no route to host"), zerolog.Nop())
	defer absent.Close()
	swap := func(e *export.Export) {
		t.Helper()
		if err := r.table.Replace([]*export.Export{e, src}); err != nil {
			t.Fatal(err)
		}
	}
	swap(export.New(data.ID, export.Spec{Name: "data"}, absent))
	g.expect(nfs41.NFS4ERR_DELAY, nfs41.PutFH(open.fh), &nfs41.Read{Stateid: open.sid, Count: 1})
	g.expect(nfs41.NFS4ERR_DELAY, nfs41.PutRootFH{}, nfs41.Lookup("data"), &nfs41.GetAttr{Mask: nfs41.Mask(nfs41.AttrChange)})
	rd := nfs41.ReadDir{MaxCount: 4096, Mask: nfs41.Mask(nfs41.AttrType, nfs41.AttrSize, nfs41.AttrRdattrError)}
	g.must(nfs41.PutRootFH{}, &rd)
	if len(rd.Entries) != 2 {
		t.Errorf("the exports are %v", rd.Entries)
	}
	swap(data)
	g.must(nfs41.PutFH(open.fh), &nfs41.Read{Stateid: open.sid, Count: 1})
}
