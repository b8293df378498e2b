package guest

import (
	"cmp"
	_ "embed"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// packages names, in each line, a program that guests need and the Debian
// package it is in. install.sh installs from the same list.
//
//go:embed packages.txt
var packages string

// Missing says what keeps guests from running here, or nothing.
var Missing = sync.OnceValue(func() string {
	if os.Geteuid() != 0 {
		return "guests need root, for network namespaces and mounts"
	}
	for _, file := range []string{"/dev/net/tun", "/dev/loop-control"} {
		if _, err := os.Stat(file); err != nil {
			return "guests need " + file + ", which this machine does not have"
		}
	}
	var lacking []string
	for line := range strings.Lines(packages) {
		program, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		if _, err := exec.LookPath(program); err != nil {
			lacking = append(lacking, name)
		}
	}
	if len(lacking) > 0 {
		return "guests need the packages " + strings.Join(lacking, ", ") + "; make test installs them"
	}
	if modules() == "" {
		return "guests need the modules of User-mode Linux in " + moduleRoot
	}
	return ""
})

// tooMany says that go test was given all guests and no time for them: it ends
// what takes longer than its default.
func tooMany() string {
	run, timeout := flag.Lookup("test.run"), flag.Lookup("test.timeout")
	if run.Value.String() != "" || timeout.Value.String() != "10m0s" {
		return ""
	}
	return "all guests take half an hour: make guest runs them, -run one of them"
}

// require skips the test where guests cannot run, or fails it where they must.
func require(t testing.TB) {
	t.Helper()
	why := cmp.Or(Missing(), tooMany())
	switch {
	case why == "":
	case os.Getenv("FSVA_REQUIRE_GUESTS") == "1":
		t.Fatal(why)
	default:
		t.Skip(why)
	}
}

// moduleRoot is where Debian keeps the modules of its one User-mode Linux.
const moduleRoot = "/usr/lib/uml/modules"

// modules is the directory of the guest kernel's modules, or empty.
func modules() string {
	found, _ := filepath.Glob(moduleRoot + "/*/modules.dep") // the pattern is correct
	if len(found) == 0 {
		return ""
	}
	return filepath.Dir(found[len(found)-1])
}
