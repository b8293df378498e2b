package export

import (
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fsva/fsva/vfs"
)

func newTest(id uint32, name string, squash Squash) *Export {
	o := DefaultOptions()
	o.Squash = squash
	return New(id, Spec{Name: name, Options: o}, nil)
}

func TestSquash(t *testing.T) {
	const none = 1<<32 - 1
	type who struct {
		uid, gid uint32
		gids     []uint32
	}
	root, user := who{0, 0, []uint32{0, 5}}, who{1000, 100, []uint32{4, 0}}
	anon := who{Nobody, Nobody, nil}
	tests := []struct {
		squash Squash
		flavor uint32
		in     who
		want   who
	}{
		{SquashNone, authSys, root, root},
		{SquashNone, authSys, user, user},
		{SquashNone, authNone, root, anon},
		{SquashNone, 6, user, anon},
		{SquashNone, authSys, who{none, none, []uint32{none, 1}}, who{Nobody, Nobody, []uint32{Nobody, 1}}},
		{SquashRoot, authSys, root, who{Nobody, Nobody, []uint32{Nobody, 5}}},
		{SquashRoot, authSys, user, who{1000, 100, []uint32{4, Nobody}}},
		{SquashRoot, authNone, user, anon},
		{SquashAll, authSys, root, anon},
		{SquashAll, authSys, user, anon},
	}
	for _, tt := range tests {
		c := newTest(1, "x", tt.squash).Cred(tt.flavor, tt.in.uid, tt.in.gid, tt.in.gids, "guest")
		if got := (who{c.UID, c.GID, c.Groups}); got.uid != tt.want.uid || got.gid != tt.want.gid || !slices.Equal(got.gids, tt.want.gids) {
			t.Errorf("squash %v, flavor %d, %v: %v, want %v", tt.squash, tt.flavor, tt.in, got, tt.want)
		}
		if c.Client != "guest" {
			t.Errorf("client %q", c.Client)
		}
	}
}

func TestCredDoesNotKeepTheGroupsItWasGiven(t *testing.T) {
	e, gids := newTest(1, "x", SquashRoot), []uint32{1, 2}
	c := e.Cred(authSys, 1, 1, gids, "guest")
	gids[0] = 9
	if !reflect.DeepEqual(c.Groups, []uint32{1, 2}) {
		t.Error(c.Groups)
	}
	if d := e.Cred(authSys, 1, 1, gids, "guest"); !reflect.DeepEqual(d.Groups, gids) {
		t.Error(d.Groups)
	}
}

func TestCredOfManyGroupsIsBounded(t *testing.T) {
	if c := newTest(1, "x", SquashNone).Cred(authSys, 1, 1, make([]uint32, 1000), ""); len(c.Groups) != vfs.MaxGroups {
		t.Error(len(c.Groups))
	}
}

func TestKnownCallerAllocatesNothing(t *testing.T) {
	e, gids := newTest(1, "x", SquashRoot), []uint32{0, 4, 24, 27}
	if n := testing.AllocsPerRun(100, func() { e.Cred(authSys, 0, 0, gids, "10.77.0.2:823") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestCredIsTheCallersOwn has more identities than the cache has room for, at
// the same time: nobody may get what belongs to another.
func TestCredIsTheCallersOwn(t *testing.T) {
	e := newTest(1, "x", SquashRoot)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			client := strconv.Itoa(g)
			for uid := uint32(1); uid < 3*uint32(len(e.creds)); uid++ {
				c := e.Cred(authSys, uid, uid+1, []uint32{uid + 2}, client)
				if c.UID != uid || c.GID != uid+1 || !slices.Equal(c.Groups, []uint32{uid + 2}) || c.Client != client {
					t.Errorf("caller %s/%d got %+v", client, uid, c)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestFileSystemIsIdleWhenAllWhoAcquiredItHaveReleasedIt(t *testing.T) {
	e := newTest(1, "x", SquashRoot)
	other := e.With(Spec{Name: "x"})
	if !e.Acquire() || !other.Acquire() {
		t.Fatal("not acquired")
	}
	idle := e.Retire()
	if e.Acquire() || other.Acquire() {
		t.Error("acquired after the end")
	}
	e.Release()
	select {
	case <-idle:
		t.Error("idle though somebody uses it")
	default:
	}
	if other.Context().Err() == nil {
		t.Error("who waits is not told")
	}
	other.Release()
	<-idle
	if e.Acquire() {
		t.Error("acquired when idle")
	}
}

func TestFileSystemIsIdleAtOnceIfNobodyUsesIt(t *testing.T) {
	e := newTest(1, "x", SquashRoot)
	e.Acquire()
	e.Release()
	<-e.Retire()
}

func TestExportIsAcquiredByManyAtATime(t *testing.T) {
	e := newTest(1, "x", SquashRoot)
	var open atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for e.Acquire() {
				open.Add(1)
				open.Add(-1)
				e.Release()
			}
		})
	}
	<-e.Retire()
	if n := open.Load(); n != 0 {
		t.Errorf("idle while %d use it", n)
	}
	wg.Wait()
}

func TestAdmits(t *testing.T) {
	tests := []struct {
		clients []string
		addr    string
		want    bool
	}{
		{nil, "192.0.2.1", true},
		{nil, "", true},
		{[]string{"10.77.0.0/16"}, "10.77.3.4", true},
		{[]string{"10.77.0.0/16"}, "::ffff:10.77.3.4", true},
		{[]string{"10.77.0.0/16"}, "10.78.0.1", false},
		{[]string{"10.77.0.0/16"}, "", false},
		{[]string{"10.77.0.0/16", "fe80::/10"}, "fe80::1%eth0", true},
		{[]string{"::/0"}, "10.77.3.4", false},
		{[]string{"@web1"}, "10.77.3.4", false}, // nobody knows where it is
		{[]string{"@web1"}, "", false},
		{[]string{"@web1", "10.77.0.0/16"}, "10.77.3.4", true},
	}
	for _, tt := range tests {
		e := new(Export)
		for _, c := range tt.clients {
			if c[0] == '@' {
				e.Guests = append(e.Guests, c[1:])
				continue
			}
			e.Clients = append(e.Clients, netip.MustParsePrefix(c))
		}
		var addr netip.Addr
		if tt.addr != "" {
			addr = netip.MustParseAddr(tt.addr)
		}
		if got := e.Admits(addr); got != tt.want {
			t.Errorf("%v from %q: %v", tt.clients, tt.addr, got)
		}
	}
}

func TestTableFindsByNameAndID(t *testing.T) {
	b, a := newTest(1, "b", SquashRoot), newTest(2, "a", SquashRoot)
	table, err := NewTable([]*Export{b, a})
	if err != nil {
		t.Fatal(err)
	}
	if l := table.List(); len(l) != 2 || l[0] != a || l[1] != b {
		t.Errorf("list: %v", l)
	}
	if table.ByName("a") != a || table.ByID(1) != b || table.ByName("c") != nil || table.ByID(0) != nil {
		t.Error("found the wrong export")
	}
	if err := table.Replace([]*Export{b}); err != nil {
		t.Fatal(err)
	}
	if table.ByName("a") != nil || table.ByID(1) != b {
		t.Error("the old exports are still there")
	}
}

func TestTableRefusesWhatIsAmbiguous(t *testing.T) {
	table, err := NewTable(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, exports := range map[string][]*Export{
		"reserved id": {newTest(0, "a", SquashRoot)},
		"same name":   {newTest(1, "a", SquashRoot), newTest(2, "a", SquashRoot)},
		"same id":     {newTest(1, "a", SquashRoot), newTest(1, "b", SquashRoot)},
		"bad name":    {newTest(1, "a/b", SquashRoot)},
	} {
		if err := table.Replace(exports); err == nil {
			t.Errorf("%s passes", name)
		}
	}
	if len(table.List()) != 0 {
		t.Error("a refused table is served")
	}
}

func BenchmarkCred(b *testing.B) {
	e, gids := newTest(1, "x", SquashRoot), []uint32{0, 4, 24, 27}
	b.ReportAllocs()
	for b.Loop() {
		e.Cred(authSys, 0, 0, gids, "10.77.0.2:823")
	}
}
