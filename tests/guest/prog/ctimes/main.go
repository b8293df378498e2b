// Ctimes writes to a file again and again and prints whether each write gave it
// another change time: "every change" or "clock".
package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Println("ctimes:", err)
		os.Exit(1)
	}
}

func run(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	seen := map[unix.Timespec]bool{}
	const writes = 1000
	for range writes {
		if _, err := f.WriteAt([]byte("x"), 0); err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Fstat(int(f.Fd()), &st); err != nil {
			return err
		}
		seen[st.Ctim] = true
	}
	if len(seen) == writes {
		fmt.Println("every change")
	} else {
		fmt.Println("clock")
	}
	return nil
}
