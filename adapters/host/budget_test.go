package host

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs"
)

// fewDescriptors runs the test that calls it in a process of its own, which may
// have n descriptors, and returns true there.
func fewDescriptors(t *testing.T, n uint64) bool {
	t.Helper()
	const mark = "TEST_FEW_DESCRIPTORS"
	if os.Getenv(mark) != "" {
		limit := unix.Rlimit{Cur: n, Max: n}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
		return true
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), mark+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

func TestManyExportsLeaveDescriptorsToTheProcess(t *testing.T) {
	const limit, exports, files = 256, 5, 100
	if !fewDescriptors(t, limit) {
		return
	}
	var all []*FS
	for range exports {
		dir := t.TempDir()
		for i := range files {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		fs := serve(t, dir, Options{})
		all = append(all, fs)
		walk(t, fs, files)
	}
	sum := 0
	for _, fs := range all {
		walk(t, fs, files)
		sum += fs.fds.count()
	}
	if sum > limit/4 {
		t.Errorf("%d descriptors are kept", sum)
	}
	for range limit / 2 {
		f, err := os.Open("/dev/null")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
	}
}

// walk reads all files by their handles.
func walk(t *testing.T, fs *FS, files int) {
	t.Helper()
	for i := range files {
		found, err := fs.Root().Lookup(ctx, vfs.Root, fmt.Sprint(i))
		if err != nil {
			t.Fatal(err)
		}
		n, err := fs.Resolve(ctx, found.Handle())
		if err != nil {
			t.Fatal(err)
		}
		f, err := n.Open(ctx, vfs.Root, vfs.OpenRead)
		if err != nil {
			t.Fatal(err)
		}
		read(t, f)
		f.Close()
	}
}

// An export keeps what it can alone, less once there are others, and as much
// again when they are gone.
func TestBudgetIsDividedAmongThoseWhoAreThere(t *testing.T) {
	if !fewDescriptors(t, 1024) {
		return
	}
	const quarter, files = 256, 300
	dir := t.TempDir()
	for i := range files {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	fs := serve(t, dir, Options{})
	keeps := func(least, most int) {
		t.Helper()
		if got := fs.fds.count(); got < least || got > most {
			t.Errorf("%d descriptors are kept, not %d to %d", got, least, most)
		}
	}
	walk(t, fs, files)
	keeps(quarter*3/4, quarter)
	var others []*FS
	for range 3 {
		o, err := Open(t.TempDir(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		others = append(others, o)
	}
	keeps(1, quarter/4) // at once
	serve(t, t.TempDir(), Options{MaxOpen: 10})
	walk(t, fs, files)
	keeps(quarter/8, quarter/4)
	for _, o := range others {
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
	}
	walk(t, fs, files)
	keeps(quarter*3/4, quarter)
}
