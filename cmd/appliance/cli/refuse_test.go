package cli

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A refusal is one line on stderr that names the thing, nothing on stdout, and
// its exit code.
func checkRefused(t *testing.T, code int, want []string, args ...string) {
	t.Helper()
	got, stdout, stderr := command(t, args...)
	if got != code {
		t.Errorf("%q: exit code %d, want %d", args, got, code)
	}
	if stdout != "" {
		t.Errorf("%q: stdout %q", args, stdout)
	}
	if !strings.HasPrefix(stderr, "appliance: ") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("%q: not one line: %s", args, stderr)
	}
	for _, text := range want {
		if !strings.Contains(stderr, text) {
			t.Errorf("%q: no %q in %s", args, text, stderr)
		}
	}
}

func TestWrongCommandLinesAreUsageErrors(t *testing.T) {
	for _, c := range []struct {
		want string
		args []string
	}{
		{`unknown command "srve"; did you mean serve?`, []string{"srve"}},
		{`export: unknown command "lst"`, []string{"export", "lst"}},
		{"unknown flag: --leese", []string{"serve", "--leese", "5s"}},
		{`unexpected argument "now"`, []string{"serve", "now"}},
		{`"soon" is not a duration`, []string{"serve", "--lease", "soon"}},
		{"--lease: 0s is not between", []string{"serve", "--lease", "0s"}},
		{`--nfs: "2049" is not an address`, []string{"serve", "--nfs", "2049"}},
		{"--p9: rdma://127.0.0.1:564: known are tcp, unix, vsock, virtio and xen", []string{"serve", "--p9", "rdma://127.0.0.1:564"}},
		{"--p9: virtio:///run/v.sock?export=none: there is no export none", []string{"serve", "--p9", "virtio:///run/v.sock?export=none"}},
		{"--p9: virtio:///run/v.sock?guest=web1: guest web1 is a guest of a site, and no site is given", []string{"serve", "--p9", "virtio:///run/v.sock?guest=web1"}},
		{`--export: export "data" is not of the form`, []string{"serve", "--export", "data"}},
		{`unknown option "rw"`, []string{"serve", "--export", "data=mem:,rw"}},
		{"is no known kind of file system; known are ", []string{"serve", "--export", "data=nothing:/srv/x"}},
		{"two exports have the name a", []string{"serve", "--export", "a=mem:", "--export", "a=mem:,ro"}},
		{`--log-level: "loud"`, []string{"serve", "--log-level", "loud"}},
		{"-o yaml is no format", []string{"status", "-o", "yaml"}},
		{`--admin: "9049" is not an address`, []string{"status", "--admin", "9049"}},
	} {
		checkRefused(t, exitUsage, []string{c.want}, c.args...)
	}
}

func TestPortInUseIsNamedWithTheFlag(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	busy := l.Addr().String()
	dir := filepath.Join(t.TempDir(), "state")
	checkRefused(t, exitFailure, []string{busy, "in use", "--nfs"}, "serve", "--nfs", busy, "--admin", "off", "--state", dir)
	checkRefused(t, exitFailure, []string{busy, "in use", "--admin"}, "serve", "--nfs", "127.0.0.1:0", "--admin", busy, "--state", dir)
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the state directory was made all the same: %v", err)
	}
}

func TestAddressOfNoInterfaceIsNamed(t *testing.T) {
	checkRefused(t, exitFailure, []string{"192.0.2.1:2049", "no interface"}, "serve", "--nfs", "192.0.2.1:2049")
}

func TestMissingDirectoryIsNamed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "missing")
	checkRefused(t, exitFailure, []string{dir, "no such"},
		"serve", "--nfs", "127.0.0.1:0", "--admin", "off", "--log-level", "error", "--state", t.TempDir(), "--export", "data=host:"+dir)
}

func TestDamagedStateIsNamedAndLeftAsItIs(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "state.db")
	garbage := strings.Repeat("no state ", 4096)
	if err := os.WriteFile(file, []byte(garbage), 0o600); err != nil {
		t.Fatal(err)
	}
	checkRefused(t, exitFailure, []string{file}, "serve", "--nfs", "127.0.0.1:0", "--admin", "off", "--state", dir)
	if b, err := os.ReadFile(file); err != nil || string(b) != garbage {
		t.Errorf("the file was changed: %v", err)
	}
}

func TestStateInUseIsNamed(t *testing.T) {
	dir := t.TempDir()
	serveProcess(t, "--state", dir)
	checkRefused(t, exitFailure, []string{dir}, "serve", "--nfs", "127.0.0.1:0", "--admin", "off", "--state", dir)
}

func TestNoApplianceAtTheAddressIsSaid(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free := l.Addr().String()
	l.Close()
	checkRefused(t, exitFailure, []string{free, "--admin"}, "status", "--admin", free)
	checkRefused(t, exitFailure, []string{free, "--admin"}, "export", "list", "--admin", free)
}

func TestConfigCheckPrintsOKOrEveryError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fsva.yaml")
	if err := os.WriteFile(path, []byte("lease: 30s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, _ := command(t, "config", "check", path); code != 0 || out != "ok\n" {
		t.Errorf("good file: %d %q", code, out)
	}
	if err := os.WriteFile(path, []byte("leese: 30s\nexports:\n- nam: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := command(t, "config", "check", path)
	want := fmt.Sprintf("appliance: config: check: %[1]s:1: unknown key \"leese\"; did you mean \"lease\"?\n"+
		"appliance: config: check: %[1]s:3: unknown key \"nam\"; did you mean \"name\"?\n", path)
	if code != exitFailure || out != "" || errs != want {
		t.Errorf("bad file: %d %q\n%s", code, out, errs)
	}
	if code, _, errs := command(t, "serve", "--config", path); code != exitFailure || errs != strings.ReplaceAll(want, "config: check", "serve") {
		t.Errorf("serve: %d %s", code, errs)
	}
}

func TestFlagsOverrideTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fsva.yaml")
	if err := os.WriteFile(path, []byte("nfs: 192.0.2.1:2049\nlease: 30s\nexports: [a=mem]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := serveProcess(t, "--config", path, "--export", "b=mem:")
	if st := status(t, p); st.Lease != 30 || st.Grace != 45 {
		t.Errorf("%+v", st)
	}
	if got := exportNames(t, p); got != "b()" {
		t.Errorf("exports %s", got)
	}
}

func TestEachVerbHelpsWithAnExample(t *testing.T) {
	for _, verb := range [][]string{{}, {"serve"}, {"status"}, {"export"}, {"export", "list"}, {"config"}, {"config", "check"}, {"config", "schema"}, {"version"}} {
		code, out, _ := command(t, append(verb, "-h")...)
		if code != 0 || !strings.Contains(out, "Examples:\n  appliance") {
			t.Errorf("%q: %d %s", verb, code, out)
		}
	}
}
