package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// The exported directory: all servers read the same files, and each writes in
// a directory of its own.
//
//	small/0 … small/255   files to look at
//	big                   bigSize bytes of pattern
//	dir10000, dir100000   that many empty files, to list and to open
//	fsva/, ganesha/       what each server's clients make
const (
	smallFiles = 256
	bigSize    = 64 << 20
)

// pattern is the content of every file at offsets modulo its length.
var pattern = func() []byte {
	b := make([]byte, 16<<20)
	rand.NewChaCha8([32]byte([]byte("the bytes of the benchmark files"))).Read(b)
	return b
}()

// check tells whether data is what the pattern has at off.
func check(data []byte, off uint64) error {
	at := int(off % uint64(len(pattern)))
	if !bytes.Equal(data, pattern[at:at+len(data)]) {
		return fmt.Errorf("wrong data at %d", off)
	}
	return nil
}

func makeTree(cfg config) (dir string, err error) {
	dir, err = os.MkdirTemp(cfg.dir, "fsva-bench-export")
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			removeTree(dir)
		}
	}()
	if err := mountFS(cfg.fs, dir); err != nil {
		return dir, err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return dir, err
	}
	for name, n := range cfg.directories() {
		if err := makeFiles(filepath.Join(dir, name), n); err != nil {
			return dir, err
		}
	}
	for _, s := range cfg.servers {
		if err := os.Mkdir(filepath.Join(dir, s), 0o755); err != nil {
			return dir, err
		}
	}
	big, err := os.Create(filepath.Join(dir, "big"))
	if err != nil {
		return dir, err
	}
	defer big.Close()
	for range bigSize / len(pattern) {
		if _, err := big.Write(pattern); err != nil {
			return dir, err
		}
	}
	return dir, nil
}

// mountFS mounts a new file system on dir, in the namespace of the run. That of
// an ext4 is in a file beside dir, which goes with the mount.
func mountFS(typ, dir string) error {
	switch typ {
	case "":
		return nil
	case "tmpfs":
		if err := unix.Mount("bench", dir, "tmpfs", 0, "mode=755"); err != nil {
			return fmt.Errorf("mount a tmpfs: %w", err)
		}
		return nil
	}
	image := dir + ".ext4"
	defer os.Remove(image)
	// All is written now, not in the background while something is measured.
	script := `truncate -s 8G "$1"
		mkfs.ext4 -q -N 500000 -E lazy_itable_init=0,lazy_journal_init=0 "$1"
		mount -o loop "$1" "$2"`
	if out, err := exec.Command("/bin/sh", "-ec", script, "sh", image, dir).CombinedOutput(); err != nil {
		return fmt.Errorf("mount an ext4: %w\n%s", err, out)
	}
	return nil
}

// directories returns the names and sizes of those that this run needs: the
// large ones take seconds to make.
func (cfg config) directories() map[string]int {
	dirs := map[string]int{"small": smallFiles}
	for _, wl := range workloads {
		if cfg.raw && wl.items > 0 && cfg.match.MatchString(wl.name) {
			dirs[dirName(wl.items)] = wl.items
		}
	}
	if cfg.scale {
		dirs[dirName(cfg.opens)] = cfg.opens
	}
	return dirs
}

// dirName is the name of the directory of n files.
func dirName(n int) string { return fmt.Sprint("dir", n) }

func makeFiles(dir string, n int) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for i := range n {
		f, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			return err
		}
		f.Close()
	}
	return nil
}

func removeTree(dir string) {
	unix.Unmount(dir, unix.MNT_DETACH) // if it is a mount
	os.RemoveAll(dir)
}
