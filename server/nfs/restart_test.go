package nfs_test

import (
	"testing"

	"github.com/fsva/fsva/tests/nfs41"
)

// After a restart a client claims back what it held, and until all who may
// have done so nobody gets anything new (RFC 8881 §8.4.2).
func TestStateIsReclaimedAfterARestart(t *testing.T) {
	r := start(t)
	cfg := nfs41.Config{Owner: "guest", Verifier: nfs41.Verifier{1}}
	before := r.mount(cfg)
	f := before.create("f")
	before.must(nfs41.PutFH(f.fh), &nfs41.Lock{Type: nfs41.WriteLT, Length: 10, Stateid: f.sid, Owner: []byte("p")})

	r.restart()
	before.Disconnect()
	other := r.mount(nfs41.Config{Owner: "other"})
	openF := nfs41.Open{Access: nfs41.ShareBoth, Owner: []byte("o"), Name: "f"}
	other.expect(nfs41.NFS4ERR_GRACE, nfs41.PutFH(other.root), &openF)
	other.expect(nfs41.NFS4ERR_GRACE, nfs41.PutFH(other.root), &nfs41.Remove{Name: "f"})

	cfg.Reclaiming = true
	after := r.mount(cfg)
	reclaim := nfs41.Open{Access: nfs41.ShareBoth, Owner: []byte("owner"), Claim: nfs41.ClaimPrevious}
	after.must(nfs41.PutFH(f.fh), &reclaim)
	lock := nfs41.Lock{Type: nfs41.WriteLT, Reclaim: true, Length: 10, Stateid: reclaim.Stateid, Owner: []byte("p")}
	after.must(nfs41.PutFH(f.fh), &lock)
	after.expect(nfs41.NFS4ERR_GRACE, nfs41.PutFH(after.root),
		&nfs41.Open{Access: nfs41.ShareBoth, Owner: []byte("x"), Create: nfs41.Guarded, Name: "new"})
	after.must(nfs41.ReclaimComplete{})
	after.expect(nfs41.NFS4ERR_COMPLETE_ALREADY, nfs41.ReclaimComplete{})

	// All who could are done: the period is over before its time.
	fo := other.open(&openF)
	other.expect(nfs41.NFS4ERR_DENIED, nfs41.PutFH(fo.fh),
		&nfs41.Lock{Type: nfs41.WriteLT, Length: 1, Stateid: fo.sid, Owner: []byte("q")})
	after.expect(nfs41.NFS4ERR_NO_GRACE, nfs41.PutFH(f.fh),
		&nfs41.Open{Access: nfs41.ShareRead, Owner: []byte("late"), Claim: nfs41.ClaimPrevious})
}

func TestClientWithoutARecordReclaimsNothing(t *testing.T) {
	r := start(t)
	g := r.mount(nfs41.Config{Owner: "known"})
	f := g.create("f")
	r.restart()
	stranger := r.mount(nfs41.Config{Owner: "stranger", Reclaiming: true})
	stranger.expect(nfs41.NFS4ERR_RECLAIM_BAD, nfs41.PutFH(f.fh),
		&nfs41.Open{Access: nfs41.ShareRead, Owner: []byte("o"), Claim: nfs41.ClaimPrevious})
}

func TestGraceEndsForWhoDoesNotComeBack(t *testing.T) {
	r := start(t)
	r.mount(nfs41.Config{Owner: "gone"}).create("f")
	r.restart()
	other := r.mount(nfs41.Config{})
	open := &nfs41.Open{Access: nfs41.ShareBoth, Owner: []byte("o"), Name: "f"}
	other.expect(nfs41.NFS4ERR_GRACE, nfs41.PutFH(other.root), open)
	r.pass(2 * r.lease)
	other = r.mount(nfs41.Config{})
	other.must(nfs41.PutFH(other.root), open)
}

func TestRestartWithoutClientsHasNoGrace(t *testing.T) {
	r := start(t)
	r.restart()
	r.mount(nfs41.Config{}).create("f")
}

func TestHandlesOutliveARestart(t *testing.T) {
	r := start(t)
	f := r.mount(nfs41.Config{}).create("f")
	r.restart()
	g := r.mount(nfs41.Config{})
	g.attrs(f.fh, nfs41.AttrFileID)
}

func TestForgedHandleIsRefused(t *testing.T) {
	g := start(t).mount(nfs41.Config{})
	f := g.create("f")
	for i := range f.fh {
		forged := append(nfs41.FH(nil), f.fh...)
		forged[i] ^= 1
		g.expect(nfs41.NFS4ERR_BADHANDLE, nfs41.PutFH(forged))
	}
	g.expect(nfs41.NFS4ERR_BADHANDLE, nfs41.PutFH{})
}
