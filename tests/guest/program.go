package guest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

const programs = "github.com/fsva/fsva/tests/guest/prog/"

// built holds the programs that have been built, each once in a run.
var built struct {
	sync.Mutex
	dir string // where Main keeps them
	err map[string]error
}

// Main runs the tests of a package that boots guests.
func Main(m *testing.M) int {
	remove, err := KeepPrograms()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer remove()
	return m.Run()
}

// KeepPrograms makes the directory that programs are built in. Until then
// there are no guests. The caller removes it when no guest runs any more.
func KeepPrograms() (remove func(), err error) {
	dir, err := os.MkdirTemp("", "fsva-guest-")
	if err != nil {
		return nil, err
	}
	// Guests run programs as any user.
	if err := os.Chmod(dir, 0o755); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	built.dir, built.err = dir, map[string]error{}
	return func() { os.RemoveAll(dir) }, nil
}

// Program builds a program of this folder's prog and returns its path, which
// is the same on the host and in guests.
func Program(t T, name string) string {
	t.Helper()
	return build(t, name, "build", "-buildvcs=false", programs+name)
}

// TestBinary is like Program, for a package of tests.
func TestBinary(t T, name string) string {
	t.Helper()
	return build(t, name+".test", "test", "-c", programs+name)
}

// build runs the go tool to make a static binary.
func build(t T, name string, command ...string) string {
	t.Helper()
	built.Lock()
	defer built.Unlock()
	file := filepath.Join(built.dir, name)
	err, done := built.err[name]
	if !done {
		pkg := command[len(command)-1]
		cmd := exec.Command("go", append(command[:len(command)-1:len(command)-1], "-o", file, pkg)...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		var out []byte
		if out, err = cmd.CombinedOutput(); err != nil {
			err = fmt.Errorf("%v: %w\n%s", cmd, err, out)
		}
		built.err[name] = err
	}
	if err != nil {
		t.Fatal(err)
	}
	return file
}
