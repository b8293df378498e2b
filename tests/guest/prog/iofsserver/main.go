// Iofsserver serves file systems of Go's io/fs, in this process:
//
//	iofsserver ADDRESS DIRECTORY ARCHIVE
//
// as the exports dir and zip, over NFS. It prints "ready" when guests can mount,
// and ends with SIGTERM.
package main

import (
	"archive/zip"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva"
	"github.com/fsva/fsva/adapters/iofs"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/export"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Println("iofsserver:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("usage: iofsserver ADDRESS DIRECTORY ARCHIVE")
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM)
	defer stop()
	root, err := os.OpenRoot(args[1])
	if err != nil {
		return err
	}
	defer root.Close()
	archive, err := zip.OpenReader(args[2])
	if err != nil {
		return err
	}
	defer archive.Close()
	rules := export.DefaultOptions()
	rules.Squash = export.SquashNone
	c := fsva.Config{NFS: args[0], Exports: map[string]vfs.FS{}, Rules: map[string]export.Options{}}
	for name, fsys := range map[string]fs.FS{"dir": root.FS(), "zip": archive} {
		f, err := iofs.New(ctx, fsys, iofs.Options{})
		if err != nil {
			return err
		}
		defer f.Close()
		c.Exports[name], c.Rules[name] = f, rules
	}
	s, err := fsva.Start(c)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	<-ctx.Done()
	return s.Stop(context.Background())
}
