// Openunlink checks that open files outlive their names.
//
//	openunlink check DIR       in one process: unlink, rename, rename over
//	openunlink hold FILE GO    open FILE, print "open", wait until the file GO
//	                           exists, then print what FILE contains
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	err := errors.New("usage: openunlink check DIR | hold FILE GO")
	switch {
	case len(os.Args) == 3 && os.Args[1] == "check":
		err = check(os.Args[2])
	case len(os.Args) == 4 && os.Args[1] == "hold":
		err = hold(os.Args[2], os.Args[3])
	}
	if err != nil {
		fmt.Println("openunlink:", err)
		os.Exit(1)
	}
}

func check(dir string) error {
	for _, c := range []struct {
		name string
		act  func(path string) error
	}{
		{"unlink", os.Remove},
		{"rename", func(path string) error { return os.Rename(path, path+".new") }},
		{"rename over", func(path string) error {
			if err := os.WriteFile(path+".other", []byte("other"), 0o644); err != nil {
				return err
			}
			return os.Rename(path+".other", path)
		}},
	} {
		if err := checkOne(filepath.Join(dir, "file"), c.act); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

// checkOne does something to the name of an open file, and sees whether the
// file can still be read, written and truncated.
func checkOne(path string, act func(path string) error) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.WriteString("before"); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := act(path); err != nil {
		return err
	}
	if _, err := f.WriteString(" after"); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	got := make([]byte, 100)
	n, err := f.ReadAt(got, 0)
	if err != io.EOF || string(got[:n]) != "before after" {
		return fmt.Errorf("read %q (%v) from the open file", got[:n], err)
	}
	return f.Truncate(3)
}

// hold reads around the guest's cache, so that the server must still have the
// file.
func hold(path, signal string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECT, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	fmt.Println("open")
	for {
		if _, err := os.Stat(signal); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	block, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return err
	}
	n, err := unix.Pread(fd, block, 0)
	if err != nil {
		return err
	}
	fmt.Printf("read %s\n", bytes.TrimSpace(block[:n]))
	return nil
}
