package vfstest

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/fsva/fsva/vfs"
)

// together runs f in that many goroutines and fails at their first error.
func (e *env) together(n int, f func(i int) error) {
	e.Helper()
	errs := make([]error, n)
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = f(i)
		})
	}
	close(start)
	wg.Wait()
	for _, err := range errs {
		e.ok(err)
	}
}

// churn makes files and removes them until done, the r-th with the name that
// nameOf gives.
func (e *env) churn(done *atomic.Bool, nameOf func(r int) string) error {
	for r := 0; !done.Load(); r++ {
		name := nameOf(r)
		_, f, _, err := e.root.Create(e.ctx, root, name, mode(0o644), readWrite)
		if err == nil {
			err = f.Close()
		}
		if err == nil {
			_, err = e.root.Remove(e.ctx, root, name, false)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// allow drops the errors that a race may bring.
func allow(err error, errnos ...vfs.Errno) error {
	if slices.Contains(errnos, vfs.ErrnoOf(err)) {
		return nil
	}
	return err
}

const racers, rounds = 8, 50

var raceChecks = []check{
	{name: "to create a name have one winner", run: func(e *env) {
		for r := range rounds {
			var won atomic.Int32
			e.together(racers, func(int) error {
				_, f, _, err := e.root.Create(e.ctx, root, fmt.Sprint("file", r), mode(0o644), readWrite)
				if err == nil {
					won.Add(1)
					return f.Close()
				}
				return allow(err, vfs.EEXIST)
			})
			if won.Load() != 1 {
				e.Errorf("%d creations of one name worked", won.Load())
			}
		}
	}},
	{name: "to remove a name have one winner", run: func(e *env) {
		for r := range rounds {
			name := fmt.Sprint("file", r)
			e.create(e.root, name)
			var won atomic.Int32
			e.together(racers, func(int) error {
				_, err := e.root.Remove(e.ctx, root, name, false)
				if err == nil {
					won.Add(1)
				}
				return allow(err, vfs.ENOENT)
			})
			if won.Load() != 1 {
				e.Errorf("%d removals of one name worked", won.Load())
			}
		}
		e.lists(e.root)
	}},
	{name: "of creation and removal leave what the last did", run: func(e *env) {
		var made, removed atomic.Int32
		e.together(racers, func(i int) error {
			for range rounds {
				if i%2 == 0 {
					_, f, _, err := e.root.Create(e.ctx, root, "file", mode(0o644), readWrite)
					if err == nil {
						made.Add(1)
						if _, _, err := f.WriteAt(e.ctx, []byte("x"), 0, vfs.Unstable); err != nil {
							return err
						}
						if err := f.Close(); err != nil {
							return err
						}
					} else if err := allow(err, vfs.EEXIST); err != nil {
						return err
					}
				} else if _, err := e.root.Remove(e.ctx, root, "file", false); err == nil {
					removed.Add(1)
				} else if err := allow(err, vfs.ENOENT); err != nil {
					return err
				}
			}
			return nil
		})
		if left := int(made.Load() - removed.Load()); left != len(e.list(e.root)) || left < 0 || left > 1 {
			e.Errorf("made %d, removed %d, and the directory lists %q", made.Load(), removed.Load(), e.list(e.root))
		}
	}},
	{name: "of renames lose no file and make none", run: func(e *env) {
		a, b := e.mkdir(e.root, "a"), e.mkdir(e.root, "b")
		dirs := [2]vfs.Node{a, b}
		for i := range racers {
			e.create(dirs[i%2], fmt.Sprint("file", i))
		}
		e.together(racers, func(i int) error {
			name := fmt.Sprint("file", i)
			for r := range rounds {
				if _, _, err := dirs[(i+r)%2].Rename(e.ctx, root, name, dirs[(i+r+1)%2], name, 0); err != nil {
					return err
				}
			}
			return nil
		})
		names := append(e.list(a), e.list(b)...)
		slices.Sort(names)
		if len(names) != racers || len(slices.Compact(names)) != racers {
			e.Errorf("%d files became %q", racers, names)
		}
	}},
	{name: "of directories moved into each other make no loop", run: func(e *env) {
		a, b := e.mkdir(e.root, "a"), e.mkdir(e.root, "b")
		for range rounds {
			e.together(2, func(i int) error {
				var err error
				if i == 0 {
					_, _, err = e.root.Rename(e.ctx, root, "a", b, "a", 0)
				} else {
					_, _, err = e.root.Rename(e.ctx, root, "b", a, "b", 0)
				}
				return allow(err, vfs.EINVAL, vfs.ENOENT, vfs.ELOOP)
			})
			switch names := e.list(e.root); {
			case slices.Equal(names, []string{"a"}):
				e.rename(a, "b", e.root, "b")
			case slices.Equal(names, []string{"b"}):
				e.rename(b, "a", e.root, "a")
			default:
				e.Fatalf("the root lists %q", names)
			}
		}
	}},
	{name: "of a listing with changes show the rest once", run: func(e *env) {
		e.fill(e.root, 200)
		var done atomic.Bool
		e.together(3, func(i int) error {
			if i > 0 {
				return e.churn(&done, func(r int) string { return fmt.Sprintf("churn%d.%d", i, r%20) })
			}
			defer done.Store(true)
			for range 20 {
				seen := map[string]int{}
				for cookie, eof := uint64(0), false; !eof; {
					var err error
					took := 0
					eof, err = e.root.ReadDir(e.ctx, root, cookie, 0, func(d *vfs.DirEntry) bool {
						if took++; took > 13 {
							return false
						}
						seen[d.Name]++
						cookie = d.Cookie
						return true
					})
					if err != nil {
						return err
					}
				}
				for i := range 200 {
					if n := seen[fmt.Sprint("entry", i)]; n != 1 {
						return fmt.Errorf("entry%d is listed %d times", i, n)
					}
				}
			}
			return nil
		})
	}},
	{name: "of opens with removal end well", run: func(e *env) {
		for r := range rounds {
			name := fmt.Sprint("file", r)
			n := e.file(e.root, name, "content")
			e.together(racers, func(i int) error {
				if i == 0 {
					_, err := e.root.Remove(e.ctx, root, name, false)
					return err
				}
				f, err := n.Open(e.ctx, root, readWrite)
				if err != nil {
					return allow(err, vfs.ESTALE, vfs.ENOENT)
				}
				p := make([]byte, 7)
				if n, err := f.ReadAt(e.ctx, p, 0); err != nil || string(p[:n]) != "content" {
					return fmt.Errorf("read %q, %w", p[:n], err)
				}
				return f.Close()
			})
			_, err := e.fs.Resolve(e.ctx, n.Handle())
			e.fails(err, vfs.ESTALE)
		}
	}},
	{name: "of creations with the handles of what was removed leave those stale", run: func(e *env) {
		var gone [racers][]byte
		for i := range gone {
			name := fmt.Sprint("gone", i)
			gone[i] = e.file(e.root, name, "").Handle()
			e.remove(e.root, name)
		}
		var done atomic.Bool
		e.together(racers, func(i int) error {
			if i > 0 {
				return e.churn(&done, func(int) string { return fmt.Sprint("new", i) })
			}
			defer done.Store(true)
			for r := range 100 * rounds {
				if _, err := e.fs.Resolve(e.ctx, gone[r%racers]); vfs.ErrnoOf(err) != vfs.ESTALE {
					return fmt.Errorf("handle of a removed file: %w", err)
				}
			}
			return nil
		})
	}},
}
