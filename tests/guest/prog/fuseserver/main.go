// Fuseserver serves file systems of the library go-fuse, in this process:
//
//	fuseserver ADDRESS DIRECTORY ARCHIVE
//
// as the exports loopback and zip, over NFS. It prints "ready" when guests can
// mount, and ends with SIGTERM.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/zipfs"
	"golang.org/x/sys/unix"

	"github.com/fsva/fsva"
	fusefs "github.com/fsva/fsva/adapters/fuse"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/export"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Println("fuseserver:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("usage: fuseserver ADDRESS DIRECTORY ARCHIVE")
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM)
	defer stop()
	unix.Umask(0)
	dir, err := fs.NewLoopbackRoot(args[1])
	if err != nil {
		return err
	}
	archive, err := zipfs.NewArchiveFileSystem(args[2])
	if err != nil {
		return err
	}
	loopback, err := fusefs.New(fs.NewNodeFS(dir, nil), fusefs.Options{})
	if err != nil {
		return err
	}
	defer loopback.Close()
	zip, err := fusefs.New(fs.NewNodeFS(archive, nil), fusefs.Options{ReadOnly: true, IndexOffsets: true, NoXattrs: true})
	if err != nil {
		return err
	}
	defer zip.Close()
	rules := export.DefaultOptions()
	rules.Squash = export.SquashNone
	s, err := fsva.Start(fsva.Config{
		Exports: map[string]vfs.FS{"loopback": loopback, "zip": zip},
		Rules:   map[string]export.Options{"loopback": rules, "zip": rules},
		NFS:     args[0],
	})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	<-ctx.Done()
	return s.Stop(context.Background())
}
