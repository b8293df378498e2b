package nfs_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/fsva/fsva/adapters/mem"
	"github.com/fsva/fsva/server/nfs"
	"github.com/fsva/fsva/server/nfs/nfs4"
	"github.com/fsva/fsva/server/rpc"
	"github.com/fsva/fsva/state"
	"github.com/fsva/fsva/tests/nfs41"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/export"
	"github.com/fsva/fsva/vfs/lock"
)

// The tests of this package speak to a server over loopback TCP, in the words
// of the RFC, by a client that shares no NFS code with it.

// rig is a server with two exports in memory, "data" and, read-only, "src".
// Its clock can be turned forward and it can be started again.
type rig struct {
	t      testing.TB
	dir    string // of the state
	data   vfs.FS
	table  *export.Table
	ahead  atomic.Int64 // of the clock, in nanoseconds
	lease  time.Duration
	addr   string
	server *nfs.Server
	stop   func()
}

func start(t testing.TB) *rig {
	t.Helper()
	return startOver(t, mem.New(mem.Options{Size: 64 << 20}))
}

// startOver is start with another file system as "data", whose options may be
// changed.
func startOver(t testing.TB, data vfs.FS, change ...func(*export.Options)) *rig {
	t.Helper()
	options := export.Options{AnonUID: 65534, AnonGID: 65534}
	for _, f := range change {
		f(&options)
	}
	r := &rig{t: t, dir: t.TempDir(), lease: time.Minute, data: data}
	src := mem.New(mem.Options{Size: 1 << 20})
	if _, f, _, err := src.Root().Create(t.Context(), vfs.Root, "readme", &vfs.SetAttr{Set: vfs.SetMode, Mode: 0o644}, vfs.OpenWrite); err != nil {
		t.Fatal(err)
	} else {
		f.Close()
	}
	var err error
	r.table, err = export.NewTable([]*export.Export{
		export.New(1, export.Spec{Name: "data", Options: options}, r.data),
		export.New(2, export.Spec{Name: "src", Options: export.Options{ReadOnly: true}}, src),
	})
	if err != nil {
		t.Fatal(err)
	}
	r.run()
	t.Cleanup(func() { r.stop() })
	return r
}

// run starts the server, on the address it had before if it had one.
func (r *rig) run() {
	r.t.Helper()
	st, err := state.Open(r.dir)
	if err != nil {
		r.t.Fatal(err)
	}
	key, err := st.Secret("handles", 16)
	if err != nil {
		r.t.Fatal(err)
	}
	r.server, err = nfs.New(nfs.Config{
		Exports: r.table, Handles: export.NewSealer(key), State: st, Locks: lock.NewTable(),
		Lease: r.lease, Grace: r.lease, Log: zerolog.Nop(), Version: "test",
		Clock: func() time.Time { return time.Now().Add(time.Duration(r.ahead.Load())) },
	})
	if err != nil {
		r.t.Fatal(err)
	}
	l, err := net.Listen("tcp", max(r.addr, "127.0.0.1:0"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.addr = l.Addr().String()
	transport := rpc.NewServer(rpc.Options{Log: zerolog.Nop()})
	transport.Register(nfs4.Program, nfs4.Version, r.server)
	served := make(chan error, 1)
	go func() { served <- transport.Serve(context.Background(), l) }()
	r.stop = func() {
		gone, cancel := context.WithCancel(context.Background())
		cancel() // no client is waited for: as if the process had ended
		transport.Shutdown(gone)
		<-served
		r.server.Close()
		st.Close()
	}
}

// restart ends the server without a word to its clients and starts it again.
func (r *rig) restart() {
	r.t.Helper()
	r.stop()
	r.run()
}

// pass turns the clock forward and has the server look at it.
func (r *rig) pass(d time.Duration) {
	r.ahead.Add(int64(d))
	r.server.Clients().Sweep(context.Background())
}

// guest is a client with a session and the filehandle of the export "data".
type guest struct {
	*nfs41.Session
	t    testing.TB
	root nfs41.FH
}

func (r *rig) mount(cfg nfs41.Config) *guest {
	r.t.Helper()
	s, err := nfs41.Mount(r.addr, cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(s.Disconnect)
	g := &guest{Session: s, t: r.t}
	if g.root, err = s.Walk("data"); err != nil {
		r.t.Fatal(err)
	}
	return g
}

// must sends operations that have to succeed.
func (g *guest) must(ops ...nfs41.Op) {
	g.t.Helper()
	if err := g.Do(ops...); err != nil {
		g.t.Fatal(err)
	}
}

// expect sends operations of which the last one tried has to end with want.
func (g *guest) expect(want nfs41.Status, ops ...nfs41.Op) {
	g.t.Helper()
	if err := g.Do(ops...); !errors.Is(err, want) {
		g.t.Errorf("%v: got %v, want %v", ops[len(ops)-1].Num(), err, want)
	}
}

// file is a file that a guest has open.
type file struct {
	fh  nfs41.FH
	sid nfs41.Stateid
}

// create makes a file of mode 0644 in the export's root and opens it.
func (g *guest) create(name string) file {
	g.t.Helper()
	open := nfs41.Open{
		Access: nfs41.ShareBoth, Owner: []byte("owner"), Create: nfs41.Guarded, Name: name,
		Attrs: nfs41.Attrs{Mask: nfs41.Mask(nfs41.AttrMode), Mode: 0o644},
	}
	return g.open(&open)
}

func (g *guest) open(o *nfs41.Open) file {
	g.t.Helper()
	var fh nfs41.GetFH
	g.must(nfs41.PutFH(g.root), o, &fh)
	return file{fh.FH, o.Stateid}
}

// attrs reads attributes of an object.
func (g *guest) attrs(fh nfs41.FH, attrs ...uint32) nfs41.Attrs {
	g.t.Helper()
	get := nfs41.GetAttr{Mask: nfs41.Mask(attrs...)}
	g.must(nfs41.PutFH(fh), &get)
	return get.Attrs
}

func (g *guest) change(fh nfs41.FH) uint64 { return g.attrs(fh, nfs41.AttrChange).Change }
