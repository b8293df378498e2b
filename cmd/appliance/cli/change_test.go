package cli

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// control runs a verb of export on a running appliance.
func (p *process) control(verb ...string) (code int, stderr string) {
	p.t.Helper()
	args := append(append([]string{"export"}, verb...), "--admin", p.admin)
	code, _, stderr = command(p.t, args...)
	return code, stderr
}

// controls reports whether this user has a directory for control sockets.
func controls() bool {
	return os.Geteuid() == 0 || filepath.IsAbs(os.Getenv("XDG_RUNTIME_DIR"))
}

func TestExportsAreAddedAndRemovedAtRunTime(t *testing.T) {
	if !controls() {
		t.Skip("the control socket needs root or $XDG_RUNTIME_DIR")
	}
	file := filepath.Join(t.TempDir(), "fsva.yaml")
	if err := os.WriteFile(file, []byte("exports: [a=mem, b=mem]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := serveProcess(t, "--config", file)
	for _, step := range []struct {
		verb []string
		says string // on standard error; empty: it succeeds
		then string
	}{
		{[]string{"add", "c=mem:,ro"}, "", "a() b() c(ro)"},
		{[]string{"add", "c=mem:"}, "there is an export c already", "a() b() c(ro)"},
		{[]string{"add", "d=host:/nowhere/at/all"}, "/nowhere/at/all", "a() b() c(ro)"},
		{[]string{"add", "d=nothing:"}, "no known kind", "a() b() c(ro)"},
		{[]string{"add"}, "NAME=URL", "a() b() c(ro)"},
		{[]string{"rm", "a"}, "", "b() c(ro)"},
		{[]string{"rm", "a"}, "there is no export a", "b() c(ro)"},
		{[]string{"rm", "../a"}, "there is no export ../a", "b() c(ro)"},
		{[]string{"reload"}, "", "a() b() c(ro)"},
		{[]string{"rm", "c"}, "", "a() b()"},
		{[]string{"reload"}, "", "a() b()"},
	} {
		code, stderr := p.control(step.verb...)
		if step.says == "" && (code != 0 || stderr != "") || !strings.Contains(stderr, step.says) || step.says != "" && code == 0 {
			t.Errorf("export %v: exit code %d, %q; want %q", step.verb, code, stderr, step.says)
		}
		if got := exportNames(t, p); got != step.then {
			t.Errorf("export %v: %s are served; want %s", step.verb, got, step.then)
		}
	}
}

func TestReloadNeedsAFile(t *testing.T) {
	if !controls() {
		t.Skip("the control socket needs root or $XDG_RUNTIME_DIR")
	}
	p := serveProcess(t)
	if code, stderr := p.control("reload"); code != 1 || !strings.Contains(stderr, "nothing to reload") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// Whoever reaches the control address is not asked who they are, so that they
// must not be able to change anything.
func TestControlAddressChangesNothing(t *testing.T) {
	p := serveProcess(t)
	for _, method := range []string{"POST", "PUT", "DELETE"} {
		for _, path := range []string{"/api/v1/exports", "/api/v1/exports/mem", "/api/v1/reload"} {
			if status := send(t, method, "http://"+p.admin+path); status < 400 {
				t.Errorf("%s %s: %d", method, path, status)
			}
		}
	}
	if got := exportNames(t, p); got != "mem()" {
		t.Errorf("%s are served", got)
	}
}

func TestChangesAreRefusedWithoutAControlSocket(t *testing.T) {
	code, _, stderr := command(t, "export", "rm", "a", "--admin", "127.0.0.1:1")
	if code != 1 || !strings.Contains(stderr, "no appliance answers at 127.0.0.1:1") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func send(t *testing.T, method, url string) (status int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(`{"export": "x=mem:"}`))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}
