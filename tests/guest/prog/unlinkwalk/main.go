// Unlinkwalk reads a directory some entries at a time and removes them before
// it reads on. It prints how many there were, and fails if one came twice or
// was missed.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Println("unlinkwalk:", err)
		os.Exit(1)
	}
}

func run(dir string) (err error) {
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
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
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
	fmt.Println(len(seen))
	return nil
}
