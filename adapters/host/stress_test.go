package host

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/fsva/fsva/vfs"
)

// Many goroutines make, rename, remove and use a few names with hardly any
// descriptors: whatever is open holds its own data.
func TestOpenFilesKeepTheirDataWhileNamesComeAndGo(t *testing.T) {
	bothKinds(t, func(t *testing.T, dir string, opts Options) {
		opts.MaxOpen = 3
		opts.Exclusive = true
		fs := serve(t, dir, opts)
		sub, _, err := fs.Root().Mkdir(ctx, vfs.Root, "sub", mode(0o755))
		if err != nil {
			t.Fatal(err)
		}
		dirs := []vfs.Node{fs.Root(), sub}
		var wg sync.WaitGroup
		for w := range uint64(6) {
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(w, 1))
				name := func() string { return fmt.Sprintf("n%d", rnd.IntN(4)) }
				for i := range 150 {
					n, f, _, err := dirs[rnd.IntN(2)].Create(ctx, vfs.Root, name(), mode(0o644), vfs.OpenRead|vfs.OpenWrite)
					if errors.Is(err, vfs.EEXIST) {
						_, err = dirs[rnd.IntN(2)].Remove(ctx, vfs.Root, name(), false)
						if err != nil && !errors.Is(err, vfs.ENOENT) {
							t.Errorf("remove: %v", err)
						}
						continue
					}
					if err != nil {
						t.Errorf("create: %v", err)
						continue
					}
					data := fmt.Sprintf("worker %d round %d", w, i)
					write(t, f, data)
					_, _, err = dirs[rnd.IntN(2)].Rename(ctx, vfs.Root, name(), dirs[rnd.IntN(2)], name(), 0)
					if err != nil && !errors.Is(err, vfs.ENOENT) {
						t.Errorf("rename: %v", err)
					}
					if got := read(t, f); got != data {
						t.Errorf("read %q, want %q", got, data)
					}
					if a, err := n.GetAttr(ctx, vfs.AttrStat); err != nil || a.Size != uint64(len(data)) {
						t.Errorf("attributes of an open file: size %d, %v", a.Size, err)
					}
					if g, err := n.Open(ctx, vfs.Root, vfs.OpenRead); err != nil {
						t.Errorf("second open: %v", err)
					} else {
						g.Close()
					}
					f.Close()
				}
			})
		}
		wg.Wait()
		if got := fs.fds.count(); got > 3 {
			t.Errorf("%d descriptors are left", got)
		}
		for i := range fs.fds.shards {
			if n := len(fs.fds.shards[i].open); n != 0 {
				t.Errorf("%d files count as open", n)
			}
		}
	})
}

// Who opens a node by its handle while its last name is removed must not leave a
// descriptor behind, which would keep the file on the disk until it is evicted.
func TestDescriptorThatARemovalOvertakesIsNotKept(t *testing.T) {
	bothKinds(t, func(t *testing.T, dir string, opts Options) {
		opts.Exclusive = true
		fs := serve(t, dir, opts)
		n, f := create(t, fs.Root(), "file")
		f.Close()
		fs.fds.forget(n.Handle())
		losses := fs.fds.losses.Load()
		fd, err := fs.openHandle(n.Handle(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fs.Root().Remove(ctx, vfs.Root, "file", false); err != nil {
			t.Fatal(err)
		}
		fs.fds.put(n.Handle(), pathOnly, fd, losses).release()
		if fs.fds.any(n.Handle()) != nil {
			t.Error("the removed file is held")
		}
		if _, err := fs.Resolve(ctx, n.Handle()); !errors.Is(err, vfs.ESTALE) {
			t.Errorf("Resolve: %v", err)
		}
	})
}

// The same, where the file was open when it was removed, and is closed meanwhile.
func TestDescriptorThatTheLastCloseOvertakesIsNotKept(t *testing.T) {
	bothKinds(t, func(t *testing.T, dir string, opts Options) {
		opts.Exclusive = true
		fs := serve(t, dir, opts)
		n, f := create(t, fs.Root(), "file")
		if _, err := fs.Root().Remove(ctx, vfs.Root, "file", false); err != nil {
			t.Fatal(err)
		}
		losses := fs.fds.losses.Load()
		path, err := fs.path(n.Handle())
		if err != nil {
			t.Fatal(err)
		}
		fd, err := reopen(path.fd, readOnly.openFlags())
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		fs.fds.put(n.Handle(), readOnly, fd, losses).release()
		path.release()
		if fs.fds.any(n.Handle()) != nil {
			t.Error("the removed file is held")
		}
	})
}
