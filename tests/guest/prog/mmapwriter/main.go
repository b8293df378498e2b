// Mmapwriter fills a file through a shared mapping, out of order, and prints
// the SHA-256 of what the file must contain then.
package main

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"

	"golang.org/x/sys/unix"
)

const pageSize = 4096

func main() {
	pages := flag.Int("pages", 2048, "size of the file in pages of 4096 bytes")
	until := flag.String("until", "", "rewrite the file until this file exists, and then once more")
	flag.Parse()
	if err := run(flag.Arg(0), *pages, *until); err != nil {
		fmt.Println("mmapwriter:", err)
		os.Exit(1)
	}
}

func run(path string, pages int, until string) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size := pages * pageSize
	if err := f.Truncate(int64(size)); err != nil {
		return err
	}
	data, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	for round := uint64(0); ; round++ {
		_, missing := os.Stat(until)
		last := until == "" || missing == nil
		fill(data, round)
		if err := unix.Msync(data, unix.MS_SYNC); err != nil {
			return err
		}
		fmt.Println("round", round)
		if last {
			fmt.Printf("sum %x\n", sha256.Sum256(data))
			return unix.Munmap(data)
		}
	}
}

// fill writes each page once, in an order that differs with the round.
func fill(data []byte, round uint64) {
	order := rand.New(rand.NewPCG(round, 1))
	for _, page := range order.Perm(len(data) / pageSize) {
		p := data[page*pageSize:][:pageSize]
		for i := 0; i < pageSize; i += 8 {
			binary.LittleEndian.PutUint64(p[i:], order.Uint64())
		}
	}
}
