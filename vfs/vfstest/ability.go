package vfstest

import "github.com/fsva/fsva/vfs"

// An ability says why a file system lacks it, or nothing.
type ability func(e *env) string

func needs(has func(vfs.Caps) bool, missing string) ability {
	return func(e *env) string {
		if has(e.fs.Caps()) {
			return ""
		}
		return missing
	}
}

var (
	users        = needs(func(c vfs.Caps) bool { return !c.SingleUser }, "the file system acts as one user (Caps.SingleUser)")
	hardLinks    = needs(func(c vfs.Caps) bool { return c.HardLinks }, "the file system has no hard links (Caps.HardLinks)")
	specialFiles = needs(func(c vfs.Caps) bool { return c.SpecialFiles }, "the file system has no special files (Caps.SpecialFiles)")
	xattrs       = needs(func(c vfs.Caps) bool { return c.Xattrs }, "the file system has no extended attributes (Caps.Xattrs)")
	holes        = needs(func(c vfs.Caps) bool { return c.Holes }, "the file system does not tell holes (Caps.Holes)")
	allocates    = needs(func(c vfs.Caps) bool { return c.Allocate }, "the file system does not reserve space (Caps.Allocate)")
	copies       = needs(func(c vfs.Caps) bool { return c.Copy }, "the file system does not copy (Caps.Copy)")
	clones       = needs(func(c vfs.Caps) bool { return c.Clone }, "the file system does not clone (Caps.Clone)")

	lasting = needs(func(c vfs.Caps) bool { return !c.Volatile }, "the file system ends with the process (Caps.Volatile)")

	reopens ability = func(e *env) string {
		if e.reopen == nil {
			return "nothing outlives the file system (Suite.Reopen is nil)"
		}
		return ""
	}
	fills ability = func(e *env) string {
		if e.small == nil {
			return "there is no small one to fill (Suite.Small is nil)"
		}
		return ""
	}
)

var abilityChecks = []check{
	{name: "are what nodes and files have", run: func(e *env) {
		caps := e.fs.Caps()
		n, f := e.createOpen(e.root, "file")
		defer f.Close()
		for _, a := range []struct {
			name     string
			cap, has bool
		}{
			{"HardLinks", caps.HardLinks, is[vfs.Linker](n)},
			{"SpecialFiles", caps.SpecialFiles, is[vfs.Mknoder](e.root)},
			{"Xattrs", caps.Xattrs, is[vfs.Xattrer](n)},
			{"Holes", caps.Holes, is[vfs.HoleSeeker](f)},
			{"Allocate", caps.Allocate, is[vfs.Allocator](f)},
			{"Copy", caps.Copy, is[vfs.RangeCopier](f)},
			{"Clone", caps.Clone, is[vfs.Cloner](f)},
		} {
			// The other way round is allowed: one type may serve file
			// systems that can and file systems that cannot.
			if a.cap && !a.has {
				e.Errorf("Caps.%s is set, and the interface for it is missing", a.name)
			}
		}
		if caps.ReadOnly {
			e.Errorf("Caps.ReadOnly is set, and a file could be made")
		}
	}},
	{name: "a statfs adds up", run: (*env).statFSAddsUp},
}

// statFSAddsUp wants limits and space that can be.
func (e *env) statFSAddsUp() {
	s, err := e.fs.StatFS(e.ctx)
	e.ok(err)
	if s.BlockSize == 0 || s.MaxName == 0 || s.MaxName > vfs.MaxName || s.MaxFileSize == 0 {
		e.Errorf("impossible limits in %+v", s)
	}
	if s.AvailBytes > s.FreeBytes || s.FreeBytes > s.TotalBytes || s.FreeFiles > s.TotalFiles {
		e.Errorf("impossible space in %+v", s)
	}
}

func is[T any](v any) bool {
	_, ok := v.(T)
	return ok
}
