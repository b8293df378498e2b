// Aferoserver serves a directory by afero's OsFs, in this process:
//
//	aferoserver ADDRESS DIRECTORY STATE
//
// as the export data, over NFS. It prints "ready" when guests can mount, and ends
// with SIGTERM.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	spf "github.com/spf13/afero"
	"golang.org/x/sys/unix"

	"github.com/fsva/fsva"
	"github.com/fsva/fsva/adapters/afero"
	"github.com/fsva/fsva/adapters/billy"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/export"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Println("aferoserver:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("usage: aferoserver ADDRESS DIRECTORY STATE")
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM)
	defer stop()
	f, err := billy.New(afero.NewBilly(spf.NewOsFs(), args[1]), billy.Options{State: args[2]})
	if err != nil {
		return err
	}
	defer f.Close()
	rules := export.DefaultOptions()
	rules.Squash = export.SquashNone
	s, err := fsva.Start(fsva.Config{
		Exports: map[string]vfs.FS{"data": f},
		Rules:   map[string]export.Options{"data": rules},
		NFS:     args[0],
	})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	<-ctx.Done()
	return s.Stop(context.Background())
}
