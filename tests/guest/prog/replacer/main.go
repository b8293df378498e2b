// Replacer replaces a file again and again while it has the file before it open,
// as editors and databases do: it writes a new one, renames it over the old one
// and reads on in that, which has no name any more, then unlinks a file that it
// has open. It prints "round" and a number for each time.
//
//	replacer [-n ROUNDS] [-until FILE] [-crash] DIR
//
// With -until it goes on until that file exists. With -crash the server may
// forget that it has renamed or removed a name before it says so.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

func main() {
	rounds := flag.Int("n", 20, "rounds at least")
	until := flag.String("until", "", "go on until this file exists")
	crash := flag.Bool("crash", false, "a name may be gone when it is renamed or removed")
	flag.Parse()
	r := replacer{dir: flag.Arg(0), crash: *crash}
	for n := 0; ; n++ {
		if err := r.round(n); err != nil {
			fmt.Printf("replacer: round %d: %v\n", n, err)
			os.Exit(1)
		}
		fmt.Println("round", n)
		if _, missing := os.Stat(*until); n >= *rounds && (*until == "" || missing == nil) {
			fmt.Println("last", n)
			return
		}
	}
}

type replacer struct {
	dir   string
	crash bool
}

func contents(n int) string { return fmt.Sprintf("contents of round %d\n", n) }

func (r *replacer) path(name string) string { return filepath.Join(r.dir, name) }

func (r *replacer) round(n int) (err error) {
	if n == 0 {
		return r.write("file", 0)
	}
	old, err := os.Open(r.path("file"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, old.Close()) }()
	if err := r.write("new", n); err != nil {
		return err
	}
	if err := r.rename(n); err != nil {
		return err
	}
	if err := holds(old, n-1); err != nil {
		return fmt.Errorf("the file that was replaced: %w", err)
	}
	return r.unlinkOpen(n)
}

// write makes a file whose contents are safe when it returns.
func (r *replacer) write(name string, n int) (err error) {
	f, err := os.Create(r.path(name))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.WriteString(contents(n)); err != nil {
		return err
	}
	return f.Sync()
}

// rename puts "new" into the place of "file". After a crash it may be there
// already, or have to be asked for again.
func (r *replacer) rename(n int) error {
	err := os.Rename(r.path("new"), r.path("file"))
	if err != nil && r.crash {
		if again := os.Rename(r.path("new"), r.path("file")); again == nil || errors.Is(again, fs.ErrNotExist) {
			err = nil
		}
	}
	if err != nil {
		return err
	}
	f, err := os.Open(r.path("file"))
	if err != nil {
		return err
	}
	return errors.Join(holds(f, n), f.Close())
}

// unlinkOpen removes the name of a file and goes on in the file.
func (r *replacer) unlinkOpen(n int) (err error) {
	name := fmt.Sprint("unlinked", n)
	if err := r.write(name, n); err != nil {
		return err
	}
	f, err := os.Open(r.path(name))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := os.Remove(f.Name()); err != nil && !(r.crash && errors.Is(err, fs.ErrNotExist)) {
		return err
	}
	if _, err := os.Stat(f.Name()); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s was removed and is there: %v", name, err)
	}
	return holds(f, n)
}

// holds checks what a file contains.
func holds(f *os.File, n int) error {
	got := make([]byte, 100)
	size, _ := f.ReadAt(got, 0)
	if string(got[:size]) != contents(n) {
		return fmt.Errorf("it holds %q instead of %q", got[:size], contents(n))
	}
	return nil
}
