// Libraryserver serves file systems of Go's libraries, in this process:
//
//	libraryserver ADDRESS afero DIRECTORY STATE
//	libraryserver ADDRESS fuse DIRECTORY ARCHIVE
//	libraryserver ADDRESS iofs DIRECTORY ARCHIVE
//
// over NFS: the directory, by the library's own way to such, as the export dir,
// and a ZIP archive as the export zip. Of iofs these are as they were when it
// started, and the export live is the directory as it is. It ends with SIGTERM.
package main

import (
	"archive/zip"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/signal"

	nodefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/zipfs"
	spf "github.com/spf13/afero"
	"golang.org/x/sys/unix"

	"github.com/fsva/fsva"
	"github.com/fsva/fsva/adapters/afero"
	"github.com/fsva/fsva/adapters/billy"
	"github.com/fsva/fsva/adapters/fuse"
	"github.com/fsva/fsva/adapters/iofs"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/export"
)

// libraries open what is served, by the name of the export.
var libraries = map[string]func(ctx context.Context, dir, other string) (map[string]vfs.FS, error){
	"afero": openAfero, "fuse": openFuse, "iofs": openIOFS,
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Println("libraryserver:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 4 || libraries[args[1]] == nil {
		return fmt.Errorf("usage: libraryserver ADDRESS afero|fuse|iofs DIRECTORY STATE|ARCHIVE")
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM)
	defer stop()
	unix.Umask(0)
	served, err := libraries[args[1]](ctx, args[2], args[3])
	if err != nil {
		return err
	}
	c := fsva.Config{NFS: args[0], Exports: served, Rules: map[string]export.Options{}}
	for name, f := range served {
		defer f.Close()
		rules := export.DefaultOptions()
		rules.Squash, rules.Exclusive = export.SquashNone, name != "live"
		c.Rules[name] = rules
	}
	s, err := fsva.Start(c)
	if err != nil {
		return err
	}
	<-ctx.Done()
	return s.Stop(context.Background())
}

func openAfero(_ context.Context, dir, state string) (map[string]vfs.FS, error) {
	f, err := billy.New(afero.NewBilly(spf.NewOsFs(), dir), billy.Options{State: state})
	return map[string]vfs.FS{"dir": f}, err
}

func openFuse(_ context.Context, dir, archive string) (map[string]vfs.FS, error) {
	root, err := nodefs.NewLoopbackRoot(dir)
	if err != nil {
		return nil, err
	}
	packed, err := zipfs.NewArchiveFileSystem(archive)
	if err != nil {
		return nil, err
	}
	loopback, err := fusefs.New(nodefs.NewNodeFS(root, nil), fusefs.Options{})
	if err != nil {
		return nil, err
	}
	zip, err := fusefs.New(nodefs.NewNodeFS(packed, nil), fusefs.Options{ReadOnly: true, IndexOffsets: true, NoXattrs: true})
	return map[string]vfs.FS{"dir": loopback, "zip": zip}, err
}

// openIOFS leaves the root and the archive open: the process ends with them.
func openIOFS(ctx context.Context, dir, archive string) (map[string]vfs.FS, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	packed, err := zip.OpenReader(archive)
	if err != nil {
		return nil, err
	}
	served := map[string]vfs.FS{}
	for name, fsys := range map[string]fs.FS{"dir": root.FS(), "zip": packed} {
		f, err := iofs.New(ctx, fsys, iofs.Options{})
		if err != nil {
			return nil, err
		}
		served[name] = f
	}
	served["live"], err = billy.New(iofs.NewBilly(root.FS()), billy.Options{})
	return served, err
}
