package cli

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hugelgupf/p9/p9"

	"github.com/fsva/fsva/cmd/appliance/config"
)

// attach mounts an export over a connection, as a client of 9P would.
func attach(t *testing.T, network, addr, export string) p9.File {
	t.Helper()
	nc, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	c, err := p9.NewClient(nc)
	if err != nil {
		t.Fatal(err)
	}
	root, err := c.Attach(export)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func TestServe9POnSeveralAddresses(t *testing.T) {
	dir := t.TempDir()
	sock, device := filepath.Join(dir, "9p"), filepath.Join(dir, "virtio")
	if l, err := net.Listen("unix", sock); err != nil { // left behind by a crash
		t.Fatal(err)
	} else {
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		l.Close()
	}
	p := serveProcess(t, "--export", "a=mem:", "--export", "b=mem:",
		"--p9", "tcp://127.0.0.1:0", "--p9", "unix://"+sock, "--p9", "virtio://"+device+"?export=b&tag=disk")
	var tcp string
	for _, line := range p.before {
		if rest, ok := strings.CutPrefix(line, "mount -t 9p -o version=9p2000.L,trans=tcp,port="); ok {
			port, _, _ := strings.Cut(rest, ",")
			tcp = net.JoinHostPort("127.0.0.1", port)
		}
	}
	want := []string{
		"trans=unix,msize=1048576,aname=a " + sock + " /mnt",
		"trans=unix,msize=1048576,aname=b " + sock + " /mnt",
		"trans=virtio,msize=512000 disk /mnt",
	}
	for _, w := range want {
		if !strings.Contains(strings.Join(p.before, "\n"), w) {
			t.Errorf("no %q in %q", w, p.before)
		}
	}
	if st, err := os.Stat(sock); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, mode %v", err, st.Mode())
	}
	if _, err := os.Stat(device); err != nil {
		t.Error(err)
	}
	_, f, _ := walkOrCreate(t, attach(t, "tcp", tcp, "a"), "file")
	if _, err := f.WriteAt([]byte("content"), 0); err != nil {
		t.Fatal(err)
	}
	_, f, found := walkOrCreate(t, attach(t, "unix", sock, "a"), "file")
	if !found {
		t.Error("the file does not show on the other address")
	}
	f.Close()
	if st := status(t, p); st.Connections != 2 {
		t.Errorf("%d connections", st.Connections)
	}
	if _, metrics := get(t, "http://"+p.admin+"/metrics"); !strings.Contains(metrics, `fsva_nfs_ops_total{op="Twrite",proto="9p",status="OK"} 1`) {
		t.Error("Twrite is not counted")
	}
	if code := p.end(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, path := range []string{sock, device} {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", path, err)
		}
	}
}

func walkOrCreate(t *testing.T, root p9.File, name string) (qid p9.QID, f p9.File, found bool) {
	t.Helper()
	if qids, f, err := root.Walk([]string{name}); err == nil {
		return qids[0], f, true
	}
	_, dir, err := root.Walk(nil)
	if err != nil {
		t.Fatal(err)
	}
	f, qid, _, err = dir.Create(name, p9.ReadWrite, 0o644, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	return qid, f, false
}

func TestSocketOfARunningServerIsNotTaken(t *testing.T) {
	sock := filepath.Join(t.TempDir(), "9p")
	l, err := net.Listen("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	checkRefused(t, exitFailure, []string{sock, "in use"}, "serve", "--nfs", "127.0.0.1:0", "--admin", "off", "--p9", "unix://"+sock)
}

func TestVirtioNeedsToKnowItsExport(t *testing.T) {
	checkRefused(t, exitFailure, []string{"several exports", "?export=NAME"}, "serve", "--nfs", "127.0.0.1:0", "--admin", "off",
		"--export", "a=mem:", "--export", "b=mem:", "--p9", "virtio://"+filepath.Join(t.TempDir(), "v"))
}

func TestXenOutsideOfADomainIsRefused(t *testing.T) {
	if _, err := os.Stat("/dev/xen/xenbus"); err == nil {
		t.Skip("this is a Xen domain")
	}
	checkRefused(t, exitFailure, []string{"/dev/xen/xenbus", "modules xen-evtchn and xen-gntdev"}, "serve", "--nfs", "127.0.0.1:0", "--admin", "off",
		"--export", "a=mem:", "--p9", "xen:")
}

func TestPathOfAXenDeviceNamesItsExport(t *testing.T) {
	several, _ := newExports(t, "127.0.0.1:0", "a=mem:", "b=mem:")
	single, _ := newExports(t, "127.0.0.1:0", "a=mem:")
	for _, tt := range []struct {
		exports          *exportSet
		only, path, want string
	}{
		{several, "", "/b", "b"},
		{several, "", "b", "b"},
		{several, "a", "/b", "a"},
		{several, "", "/c", ""},
		{several, "", "/", ""},
		{several, "", "/a/b", ""},
		{single, "", "/", "a"},
		{single, "", "", "a"},
	} {
		a := &appliance{exports: tt.exports}
		got, err := a.xenExport(tt.only, tt.path)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("only %q, path %q: %q, %v; want %q", tt.only, tt.path, got, err, tt.want)
		}
	}
}

func TestRootIsSquashedWhereOthersThanThisMachineReachMemory(t *testing.T) {
	for _, tt := range []struct {
		nfs  string
		p9   []string
		want bool
	}{
		{"127.0.0.1:2049", nil, true},
		{"127.0.0.1:2049", []string{"unix:///run/9p", "tcp://127.0.0.1:564", "tcp://[::1]:564"}, true},
		{"10.77.0.1:2049", nil, false},
		{"127.0.0.1:2049", []string{"tcp://10.77.0.1:564"}, false},
		{"127.0.0.1:2049", []string{"unix:///run/9p", "vsock://:9999"}, false},
		{"127.0.0.1:2049", []string{"virtio:///run/v"}, false},
		{"127.0.0.1:2049", []string{"xen:"}, false},
	} {
		if got := private(&config.Config{NFS: tt.nfs, P9: tt.p9}); got != tt.want {
			t.Errorf("NFS on %s and 9P on %v: private is %v", tt.nfs, tt.p9, got)
		}
	}
}
