package host

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// mountTmpfs mounts a tmpfs of that size for the time of the test.
func mountTmpfs(t *testing.T, size string) string {
	t.Helper()
	needRoot(t, "mounting a file system")
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755,size="+size); err != nil {
		t.Skipf("this machine does not let the test mount a tmpfs: %v", err)
	}
	unmountLater(t, dir)
	return dir
}

func unmountLater(t *testing.T, dir string) {
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
			unix.Unmount(dir, unix.MNT_DETACH)
		}
	})
}

// mountLoop makes a file system of 512 MiB, which takes far less on disk, and
// mounts it for the time of the test.
func mountLoop(t *testing.T, kind string, mkfs ...string) string {
	t.Helper()
	needRoot(t, "mounting a file system")
	return mountImage(t, filepath.Join(t.TempDir(), "image"), kind, mkfs...)
}

// mountThin mounts a file system that takes 512 MiB on storage that has 16.
func mountThin(t *testing.T) string {
	t.Helper()
	image := filepath.Join(mountTmpfs(t, "16m"), "image")
	return mountImage(t, image, "ext4", "-O", "^has_journal", "-N", "128")
}

func mountImage(t *testing.T, image, kind string, options ...string) string {
	t.Helper()
	mkfs, err := exec.LookPath("mkfs." + kind)
	if err != nil {
		t.Skipf("mkfs.%s is not installed", kind)
	}
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 512<<20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(mkfs, append(options, "-q", image)...).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.%s: %v\n%s", kind, err, out)
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", kind, "-o", "loop", image, dir).CombinedOutput(); err != nil {
		t.Skipf("this machine does not mount %s on a loop device: %v\n%s", kind, err, out)
	}
	unmountLater(t, dir)
	return dir
}

func mountTmpfsAt(t *testing.T, dir string) {
	t.Helper()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("this machine does not let the test mount a tmpfs: %v", err)
	}
	unmountLater(t, dir)
}
