// Unlinkwalk reads a directory some entries at a time and removes them before
// it reads on. It prints how many there were so far, and fails if one came
// twice or was missed.
//
//	unlinkwalk [-crash] DIR    -crash: the server may forget that it has
//	                           removed a name before it says so
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

func main() {
	crash := flag.Bool("crash", false, "a name may be gone when it is removed")
	flag.Parse()
	if err := run(flag.Arg(0), *crash); err != nil {
		fmt.Println("unlinkwalk:", err)
		os.Exit(1)
	}
}

func run(dir string, crash bool) (err error) {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	seen := map[string]bool{}
	for {
		names, err := d.Readdirnames(100)
		for _, name := range names {
			if seen[name] {
				return fmt.Errorf("%s was listed twice", name)
			}
			seen[name] = true
			err := os.Remove(filepath.Join(dir, name))
			if err != nil && !(crash && errors.Is(err, os.ErrNotExist)) {
				return err
			}
		}
		fmt.Println(len(seen))
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if err := os.Remove(dir); err != nil {
		return fmt.Errorf("something was not listed: %w", err)
	}
	return nil
}
