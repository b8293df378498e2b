// Sparse prints where the data of a file is, as "data OFFSET LENGTH" lines,
// by lseek with SEEK_DATA and SEEK_HOLE.
package main

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Println("sparse:", err)
		os.Exit(1)
	}
}

func run(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for at := int64(0); ; {
		data, err := unix.Seek(fd, at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil // no more data
		}
		if err != nil {
			return fmt.Errorf("SEEK_DATA from %d: %w", at, err)
		}
		hole, err := unix.Seek(fd, data, unix.SEEK_HOLE)
		if err != nil {
			return fmt.Errorf("SEEK_HOLE from %d: %w", data, err)
		}
		fmt.Println("data", data, hole-data)
		at = hole
	}
}
