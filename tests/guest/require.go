package guest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Requirements are the Debian packages that guests need, by the program that
// tells whether a package is there.
var Requirements = map[string]string{
	"linux.uml":  "user-mode-linux",
	"ip":         "iproute2",
	"modprobe":   "kmod",
	"mount.nfs4": "nfs-common",
	"git":        "git",
	"setfattr":   "attr",
	"setpriv":    "util-linux",
	"mkfs.ext4":  "e2fsprogs",
	"sha256sum":  "coreutils",
}

// missing says what keeps guests from running here, or nothing.
var missing = sync.OnceValue(func() string {
	if os.Geteuid() != 0 {
		return "guests need root, for network namespaces and mounts"
	}
	for _, file := range []string{"/dev/net/tun", "/dev/loop-control"} {
		if _, err := os.Stat(file); err != nil {
			return "guests need " + file + ", which this machine does not have"
		}
	}
	packages := map[string]bool{}
	for program, name := range Requirements {
		if _, err := exec.LookPath(program); err != nil {
			packages[name] = true
		}
	}
	if len(packages) > 0 {
		list := make([]string, 0, len(packages))
		for name := range packages {
			list = append(list, name)
		}
		return "guests need the packages " + strings.Join(list, ", ") + " (make test installs them)"
	}
	if modules() == "" {
		return "guests need the modules of User-mode Linux in " + moduleRoot
	}
	return ""
})

// require skips the test where guests cannot run, or fails it where they must.
func require(t testing.TB) {
	t.Helper()
	why := missing()
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
