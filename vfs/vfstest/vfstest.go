// Package vfstest is the contract of package vfs as tests: what every adapter
// must do for guests to find a file system behind it.
//
// The author of an adapter runs it in one call,
//
//	func TestContract(t *testing.T) {
//		vfstest.Run(t, func(t *testing.T) vfs.FS { return myfs.New(t.TempDir()) })
//	}
//
// where the function returns a new, empty and writable file system each time,
// which the suite closes. Each check is a subtest named for its claim, such as
// "rename/over an open file keeps it readable", and uses a file system of its
// own. What [vfs.Caps] says the file system cannot do is skipped, with the
// reason; that the Caps tell the truth is checked too.
//
// A [Suite] has more to ask of file systems that outlive a Close or that can
// fill up. [ReadOnly] is for file systems that cannot be changed, such as
// archives: it checks that one holds what the author says, and stays so.
package vfstest

import (
	"context"
	"slices"
	"testing"

	"github.com/fsva/fsva/vfs"
)

// Suite is the contract with what it needs to check all of it.
type Suite struct {
	// Open returns an empty file system that root may write. The suite
	// closes it.
	Open func(t *testing.T) vfs.FS

	// Reopen closes a file system that Open returned and opens it again,
	// as a restart of the appliance does. Nil where nothing outlives Close.
	Reopen func(t *testing.T, old vfs.FS) vfs.FS

	// Small is Open for a file system of 1 to 16 MiB, which the suite
	// fills. Nil where there is no such thing.
	Small func(t *testing.T) vfs.FS

	// Limits are checks that the file system is known to fail, by name, and
	// why: they are skipped with that reason, for all to see.
	Limits map[string]string

	// Entries is the size of the large directory: 0 is 100,000, or 10,000
	// with -short.
	Entries int
}

// Run checks the contract on the file systems that open returns.
func Run(t *testing.T, open func(t *testing.T) vfs.FS) { Suite{Open: open}.Run(t) }

// Run checks the contract.
func (s Suite) Run(t *testing.T) {
	run(t, checks, s.Limits, func(t *testing.T) access {
		x := access{open: func() vfs.FS { return s.Open(t) }, entries: s.entries()}
		if s.Reopen != nil {
			x.reopen = func(old vfs.FS) vfs.FS { return s.Reopen(t, old) }
		}
		if s.Small != nil {
			x.small = func() vfs.FS { return s.Small(t) }
		}
		return x
	})
}

// run runs checks as subtests but for those with limits.
func run(t *testing.T, checks []check, limits map[string]string, bind func(*testing.T) access) {
	for name := range limits {
		if !slices.ContainsFunc(checks, func(c check) bool { return c.name == name }) {
			t.Errorf("Limits: there is no check %q", name)
		}
	}
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			if why := limits[c.name]; why != "" {
				t.Skip("a known limit: " + why)
			}
			c.on(t, bind(t))
		})
	}
}

func (s Suite) entries() int {
	switch {
	case s.Entries > 0:
		return s.Entries
	case testing.Short():
		return 10_000
	}
	return 100_000
}

// access is a Suite or ReadOnly bound to the test of one check.
type access struct {
	open, small func() vfs.FS
	reopen      func(old vfs.FS) vfs.FS
	entries     int    // of Suite
	tree        wanted // of ReadOnly
}

// TB is what checks need of a test. Tests of the suite itself have their own.
type TB interface {
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}

// check is one claim about file systems.
type check struct {
	name string
	// needs are the abilities without which there is nothing to check.
	needs []ability
	run   func(e *env)
}

// checks is the contract, in the order in which a new adapter will want to
// meet it.
var checks = subjects([]subject{
	{"abilities", abilityChecks},
	{"names", nameChecks},
	{"create", createChecks},
	{"directories", directoryChecks},
	{"data", dataChecks},
	{"attributes", attributeChecks},
	{"rename", renameChecks},
	{"listing", listingChecks},
	{"handles", handleChecks},
	{"unlinked", unlinkedChecks},
	{"change", changeChecks},
	{"permission", permissionChecks},
	{"links", linkChecks},
	{"xattrs", xattrChecks},
	{"space", spaceChecks},
	{"races", raceChecks},
	{"model", modelChecks},
})

// subject is checks that begin alike.
type subject struct {
	name   string
	checks []check
}

// subjects puts the checks of subjects in one list, under their full names.
func subjects(all []subject) []check {
	var list []check
	for _, s := range all {
		for _, c := range s.checks {
			c.name = s.name + "/" + c.name
			list = append(list, c)
		}
	}
	return list
}

// on runs the check on a file system of its own.
func (c check) on(t TB, x access) {
	t.Helper()
	e := &env{TB: t, ctx: context.Background(), access: x, fs: x.open()}
	defer e.closeFS()
	for _, a := range c.needs {
		if why := a(e); why != "" {
			t.Skipf("%s", why)
		}
	}
	e.root = e.fs.Root()
	c.run(e)
}
