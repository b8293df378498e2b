// Command initramfs prints a directory as a cpio archive that the kernel
// unpacks at its start (Linux, Documentation/driver-api/early-userspace/
// buffer-format.rst). The same files give the same bytes: entries are in the
// order of their names, belong to root and have the time that is given, and
// numbers that only mean something on the machine that packs are left out.
//
//	go run ./images/initramfs -time SECONDS DIR >initramfs.cpio
//
// The archive also has /dev/console, which the first process gets as its
// standard files, and which no ordinary user can make in a directory.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

func main() {
	seconds := flag.Int64("time", 0, "modification time of all entries, in seconds since 1970")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "initramfs: one directory is to be named")
		os.Exit(2)
	}
	out := bufio.NewWriter(os.Stdout)
	err := pack(newArchive(out, uint32(*seconds)), flag.Arg(0))
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "initramfs:", err)
		os.Exit(1)
	}
}

// pack writes the tree below dir. WalkDir goes in the order of names.
func pack(a *archive, dir string) error {
	console := false
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if !console && name > "dev" { // a directory comes before what is in it
			console = true
			a.console()
		}
		return a.add(name, path, d)
	})
	if err == nil && !console {
		a.console()
	}
	if err != nil {
		return err
	}
	return a.close()
}
