// Locker takes POSIX locks on a file, or on a part of it.
//
//	locker hold FILE [START LENGTH]  wait for the lock, print "locked", keep it until SIGTERM
//	locker try FILE [START LENGTH]   print "locked" or "busy" and end
//	locker count FILE N              add 1 to the number in FILE, N times, each under the lock
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Println("locker:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return errors.New("usage: locker hold|try FILE [START LENGTH], or count FILE N")
	}
	f, err := os.OpenFile(args[1], os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	start, length, err := part(args)
	if err != nil {
		return err
	}
	switch args[0] {
	case "hold":
		if err := lock(f, unix.F_SETLKW, unix.F_WRLCK, start, length); err != nil {
			return err
		}
		fmt.Println("locked")
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, unix.SIGTERM)
		<-stop
		return nil
	case "try":
		err := lock(f, unix.F_SETLK, unix.F_WRLCK, start, length)
		switch {
		case err == nil:
			fmt.Println("locked")
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EACCES): // POSIX allows either
			fmt.Println("busy")
		default:
			return err
		}
		return nil
	case "count":
		n, err := strconv.Atoi(strings.Join(args[2:], " "))
		if err != nil {
			return err
		}
		for range n {
			if err := increment(f); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("no command %q", args[0])
}

// part is what of the file is to be locked: all of it if nothing is said.
func part(args []string) (start, length int64, err error) {
	if len(args) < 4 {
		return 0, 0, nil
	}
	if start, err = strconv.ParseInt(args[2], 10, 64); err != nil {
		return 0, 0, err
	}
	length, err = strconv.ParseInt(args[3], 10, 64)
	return start, length, err
}

// lock locks length bytes; 0 are all to the end of any file.
func lock(f *os.File, command int, kind int16, start, length int64) error {
	for {
		err := unix.FcntlFlock(f.Fd(), command, &unix.Flock_t{Type: kind, Start: start, Len: length})
		if !errors.Is(err, unix.EINTR) { // the Go runtime uses signals
			return err
		}
	}
}

// increment adds 1 to the number in f, which is only safe under the lock.
func increment(f *os.File) (err error) {
	if err := lock(f, unix.F_SETLKW, unix.F_WRLCK, 0, 0); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock(f, unix.F_SETLKW, unix.F_UNLCK, 0, 0)) }()
	text := make([]byte, 20)
	n, err := f.ReadAt(text, 0)
	if err != nil && err != io.EOF {
		return err
	}
	number := 0
	if n > 0 {
		if number, err = strconv.Atoi(string(text[:n])); err != nil {
			return err
		}
	}
	_, err = f.WriteAt([]byte(strconv.Itoa(number+1)), 0)
	return err
}
