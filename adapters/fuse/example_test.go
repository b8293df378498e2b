package fusefs_test

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/hanwen/go-fuse/v2/fs"

	"github.com/fsva/fsva"
	fusefs "github.com/fsva/fsva/adapters/fuse"
	"github.com/fsva/fsva/vfs"
)

// hello is the root of a tree of one file.
type hello struct{ fs.Inode }

func (r *hello) OnAdd(ctx context.Context) {
	file := &fs.MemRegularFile{Data: []byte("Welcome aboard.")}
	r.AddChild("motd", r.NewPersistentInode(ctx, file, fs.StableAttr{}), false)
}

// A tree of the library's is a file system for the appliance after one call.
func ExampleNew() {
	f, err := fusefs.New(fs.NewNodeFS(&hello{}, nil), fusefs.Options{ReadOnly: true, IndexOffsets: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close()
	f.Root().ReadDir(context.Background(), vfs.Root, 0, vfs.AttrSize, func(e *vfs.DirEntry) bool {
		fmt.Println(e.Name, e.Attr.Size)
		return true
	})
	// Output: motd 15
}

// Served to guests until somebody presses Ctrl-C.
func Example_serve() {
	root, err := fs.NewLoopbackRoot("/srv/data")
	if err != nil {
		panic(err)
	}
	f, err := fusefs.New(fs.NewNodeFS(root, nil), fusefs.Options{})
	if err != nil {
		panic(err)
	}
	defer f.Close()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err = fsva.Serve(ctx, fsva.Config{Exports: map[string]vfs.FS{"data": f}, NFS: "127.0.0.1:2049"})
	if err != nil {
		panic(err)
	}
}
