package nfs_test

import (
	"errors"
	"testing"

	"github.com/fsva/fsva/tests/nfs41"
	"github.com/fsva/fsva/vfs/export"
)

// removeData takes the export "data" away and waits until nothing uses it.
func (r *rig) removeData() {
	r.t.Helper()
	data, src := r.table.ByName("data"), r.table.ByName("src")
	if err := r.table.Replace([]*export.Export{src}); err != nil {
		r.t.Fatal(err)
	}
	idle := data.Retire()
	r.server.Clients().Revoke(r.t.Context(), data.ID)
	<-idle
}

func TestRemovedExportIsStaleAndHoldsNothing(t *testing.T) {
	r := start(t)
	g := r.mount(nfs41.Config{})
	open := g.create("file")
	r.removeData()
	if _, _, opens, locks := r.server.Clients().Counts(); opens+locks != 0 {
		t.Errorf("%d opens and %d locks are left", opens, locks)
	}
	g.expect(nfs41.NFS4ERR_STALE, nfs41.PutFH(open.fh), &nfs41.Read{Stateid: open.sid, Count: 1})
	g.expect(nfs41.NFS4ERR_STALE, nfs41.PutFH(open.fh), &nfs41.Close{Stateid: open.sid})
	if _, err := g.Walk("src", "readme"); err != nil {
		t.Errorf("the other export: %v", err)
	}
	if _, err := g.Walk("data"); !errors.Is(err, nfs41.NFS4ERR_NOENT) {
		t.Errorf("its name: %v", err)
	}
}
