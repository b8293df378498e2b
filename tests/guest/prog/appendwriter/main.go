// Appendwriter appends records to a file that others may append to as well.
// A record is a line, "NAME NUMBER" filled up with dots; what -fsync made
// durable is printed as "acknowledged NUMBER".
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

func main() {
	w := writer{}
	flag.StringVar(&w.name, "name", "a", "first word of each record")
	flag.IntVar(&w.count, "n", 1000, "how many records to write at least")
	flag.IntVar(&w.size, "size", 64, "length of a record in bytes")
	flag.BoolVar(&w.lock, "lock", false, "lock the file around each record")
	flag.BoolVar(&w.fsync, "fsync", false, "fsync after each record and print it")
	flag.StringVar(&w.until, "until", "", "go on until this file exists, and then for n records more")
	flag.Parse()
	if err := w.run(flag.Arg(0)); err != nil {
		fmt.Println("appendwriter:", err)
		os.Exit(1)
	}
}

type writer struct {
	name, until string
	count, size int
	lock, fsync bool
}

func (w *writer) run(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	number, left := 0, w.count
	for ; left > 0; number++ {
		if err := w.append(f, number); err != nil {
			return errors.Join(err, f.Close())
		}
		if w.fsync {
			fmt.Println("acknowledged", number)
		}
		if w.until != "" {
			if _, err := os.Stat(w.until); err != nil {
				continue
			}
		}
		left--
	}
	if err := f.Close(); err != nil {
		return err
	}
	fmt.Println("wrote", number)
	return nil
}

// append writes one record in one call, so that it stays in one piece.
func (w *writer) append(f *os.File, number int) error {
	record := fmt.Sprintf("%s %d ", w.name, number)
	record += strings.Repeat(".", max(0, w.size-len(record)-1)) + "\n"
	if w.lock {
		if err := setLock(f, unix.F_WRLCK); err != nil {
			return err
		}
	}
	if _, err := f.WriteString(record); err != nil {
		return err
	}
	if w.fsync {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	if w.lock {
		return setLock(f, unix.F_UNLCK)
	}
	return nil
}

func setLock(f *os.File, kind int16) error {
	for {
		err := unix.FcntlFlock(f.Fd(), unix.F_SETLKW, &unix.Flock_t{Type: kind})
		if !errors.Is(err, unix.EINTR) { // the Go runtime uses signals
			return err
		}
	}
}
