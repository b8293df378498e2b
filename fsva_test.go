package fsva_test

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hugelgupf/p9/p9"
	"go.uber.org/goleak"

	"github.com/fsva/fsva"
	"github.com/fsva/fsva/adapters/mem"
	"github.com/fsva/fsva/tests/nfs41"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/export"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, cfg fsva.Config) *fsva.Server {
	t.Helper()
	s, err := fsva.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func stop(t *testing.T, s *fsva.Server) {
	t.Helper()
	if err := s.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

// write makes a file over NFS and returns its filehandle.
func write(t *testing.T, s *fsva.Server, export, name, content string) nfs41.FH {
	t.Helper()
	client, err := nfs41.Mount(s.NFSAddr().String(), nfs41.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	open := nfs41.Open{
		Access: nfs41.ShareBoth, Owner: []byte("test"), Create: nfs41.Guarded, Name: name,
		Attrs: nfs41.Attrs{Mask: nfs41.Mask(nfs41.AttrMode), Mode: 0o666},
	}
	var fh nfs41.GetFH
	if err := client.Do(nfs41.PutRootFH{}, nfs41.Lookup(export), &open, &fh); err != nil {
		t.Fatal(err)
	}
	err = client.Do(nfs41.PutFH(fh.FH), &nfs41.Write{Stateid: open.Stateid, Stable: nfs41.FileSync, Data: []byte(content)},
		&nfs41.Close{Stateid: open.Stateid})
	if err != nil {
		t.Fatal(err)
	}
	return fh.FH
}

// read reads a file over 9P.
func read(t *testing.T, s *fsva.Server, export, name string) string {
	t.Helper()
	conn, err := net.Dial(s.P9Addr().Network(), s.P9Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	client, err := p9.NewClient(conn)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	root, err := client.Attach(export)
	if err != nil {
		t.Fatal(err)
	}
	_, f, err := root.Walk([]string{name})
	if err == nil {
		_, _, err = f.Open(p9.ReadOnly)
	}
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	n, _ := f.ReadAt(b, 0)
	return string(b[:n])
}

func TestBothProtocolsServeTheSameFiles(t *testing.T) {
	s := start(t, fsva.Config{
		Exports: map[string]vfs.FS{"a": mem.New(mem.Options{}), "b": mem.New(mem.Options{})},
		NFS:     "127.0.0.1:0", P9: "unix://" + filepath.Join(t.TempDir(), "9p"),
	})
	defer stop(t, s)
	write(t, s, "a", "file", "in a")
	write(t, s, "b", "file", "in b")
	for _, export := range []string{"a", "b"} {
		if got := read(t, s, export, "file"); got != "in "+export {
			t.Errorf("%s has %q", export, got)
		}
	}
}

func TestFilehandlesOutliveARestart(t *testing.T) {
	cfg := fsva.Config{Exports: map[string]vfs.FS{"data": mem.New(mem.Options{})}, NFS: "127.0.0.1:0", State: t.TempDir()}
	s := start(t, cfg)
	fh := write(t, s, "data", "file", "kept")
	stop(t, s)
	cfg.Exports["another"] = mem.New(mem.Options{}) // which does not change the numbers of the others
	s = start(t, cfg)
	defer stop(t, s)
	client, err := nfs41.Mount(s.NFSAddr().String(), nfs41.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	attr := nfs41.GetAttr{Mask: nfs41.Mask(nfs41.AttrSize)}
	if err := client.Do(nfs41.PutFH(fh), &attr); err != nil || attr.Attrs.Size != 4 {
		t.Errorf("the file has %d bytes, %v", attr.Attrs.Size, err)
	}
}

func TestRulesHold(t *testing.T) {
	rules := export.DefaultOptions()
	rules.ReadOnly = true
	s := start(t, fsva.Config{
		Exports: map[string]vfs.FS{"data": mem.New(mem.Options{})}, Rules: map[string]export.Options{"data": rules}, NFS: "127.0.0.1:0",
	})
	defer stop(t, s)
	client, err := nfs41.Mount(s.NFSAddr().String(), nfs41.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	err = client.Do(nfs41.PutRootFH{}, nfs41.Lookup("data"), &nfs41.Remove{Name: "file"})
	if err == nil || !strings.Contains(err.Error(), "ROFS") {
		t.Errorf("a change of what is read-only: %v", err)
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := fsva.Serve(ctx, fsva.Config{Exports: map[string]vfs.FS{"data": mem.New(mem.Options{})}, P9: "tcp://127.0.0.1:0"})
	if err != nil {
		t.Error(err)
	}
}

func TestWhatCannotBeServedIsRefusedAndLeavesNothing(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	data := map[string]vfs.FS{"data": mem.New(mem.Options{})}
	for want, cfg := range map[string]fsva.Config{
		"no export":   {NFS: "127.0.0.1:0"},
		"no address":  {Exports: data},
		"neither":     {Exports: data, NFS: "127.0.0.1:0", P9: "udp://127.0.0.1:0"},
		"in use":      {Exports: data, NFS: "127.0.0.1:0", P9: "tcp://" + taken.Addr().String()},
		"rules for":   {Exports: data, NFS: "127.0.0.1:0", Rules: map[string]export.Options{"other": {}}},
		"export name": {Exports: map[string]vfs.FS{"a/b": data["data"]}, NFS: "127.0.0.1:0"},
		"state":       {Exports: data, NFS: "127.0.0.1:0", State: "/dev/null/x"},
	} {
		s, err := fsva.Start(cfg)
		if err == nil {
			stop(t, s)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want something about %q", err, want)
		}
	}
}
