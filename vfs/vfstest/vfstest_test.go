package vfstest

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/fsva/fsva/adapters/mem"
	"github.com/fsva/fsva/vfs"
)

// recorder is the test of one check of a file system that may be broken.
type recorder struct {
	failed, skipped bool
	said            string
}

func (r *recorder) Helper()             {}
func (r *recorder) Logf(string, ...any) {}

func (r *recorder) Errorf(format string, args ...any) {
	r.failed = true
	r.said = fmt.Sprintf(format, args...)
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Skipf(format string, args ...any) {
	r.skipped = true
	runtime.Goexit()
}

// judge runs one check on a file system with a fault.
func judge(t *testing.T, name string, f fault) *recorder {
	t.Helper()
	open := func(size int64) func() vfs.FS {
		return func() vfs.FS { return &broken{mem.New(mem.Options{Size: size}), f} }
	}
	for _, c := range checks {
		if c.name != name {
			continue
		}
		return record(func(r *recorder) {
			c.on(r, access{open: open(64 << 20), small: open(4 << 20), entries: 3000})
		})
	}
	t.Fatalf("there is no check %q", name)
	return nil
}

// record runs a check on a goroutine of its own, which Fatalf and Skipf end.
func record(run func(*recorder)) *recorder {
	r := &recorder{}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		run(r)
	}()
	<-ended
	return r
}

func TestEachFaultIsFound(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault fault
		check string
	}{
		{"Create replaces", fault{replaces: true}, "create/of a name that is taken is EEXIST"},
		{"Create replaces", fault{replaces: true}, "races/to create a name have one winner"},
		{"Create replaces", fault{replaces: true}, "model/of a tree agrees after every operation"},
		{"Create ignores the mode", fault{ignoresMode: true}, "create/gives an empty file of that mode"},
		{"SetAttr ignores times", fault{ignoresTimes: true}, "attributes/times are set to the nanosecond"},
		{"files never shrink", fault{neverShrinks: true}, "attributes/size shrinks and grows with zeroes"},
		{"the change attribute stands still", fault{freezes: true}, "change/moves with every change of a file"},
		{"changes of directories are told wrong", fault{miscounts: true}, "change/of a directory is told before and after"},
		{"listings skip an entry", fault{skips: true}, "listing/has each entry once, whatever the page"},
		{"listings skip an entry", fault{skips: true}, "listing/resumes behind any entry"},
		{"listings skip an entry", fault{skips: true}, "listing/lets all be removed on the way"},
		{"listings skip an entry", fault{skips: true}, "listing/survives changes"},
		{"listings skip an entry", fault{skips: true}, "listing/of a large directory has each entry once"},
		{"listings skip an entry", fault{skips: true}, "races/of a listing with changes show the rest once"},
		{"cookies are 0, 1 and 2", fault{numbers: true}, "listing/resumes behind any entry"},
		{"writes are halved", fault{halves: true}, "data/is read as it was written"},
		{"writes are halved", fault{halves: true}, "data/of writers side by side is all there"},
		{"writes are halved", fault{halves: true}, "model/of a tree agrees after every operation"},
		{"writes are not as durable as asked", fault{forgets: true}, "data/is as durable as was asked"},
		{"a full disk is hidden", fault{hidesNoSpace: true}, "space/that is full is ENOSPC and loses nothing"},
		{"removal empties open files", fault{empties: true}, "unlinked/files that are open go on"},
		{"handles of removed files lead to the root", fault{revives: true}, "handles/of what was removed are ESTALE for ever"},
		{"everybody may open", fault{admits: true}, "permission/goes by owner, group and others"},
		{"everybody may open", fault{admits: true}, "create/opens the file whatever its mode"},
		{"rename does not replace", fault{keepsTarget: true}, "rename/replaces a file"},
		{"rename does not replace", fault{keepsTarget: true}, "rename/over an open file keeps it readable"},
		{"rename replaces what it must not", fault{replacesAll: true}, "rename/can be told not to replace"},
		{"all directories are in the root", fault{noParents: true}, "directories/nest and know their parent"},
		{"all directories are in the root", fault{noParents: true}, "rename/moves a directory with all in it"},
	} {
		t.Run(tt.name+" "+tt.check, func(t *testing.T) {
			if r := judge(t, tt.check, fault{}); r.failed || r.skipped {
				t.Fatalf("without the fault: failed %v, skipped %v: %s", r.failed, r.skipped, r.said)
			}
			if r := judge(t, tt.check, tt.fault); !r.failed {
				t.Error("the fault was not found")
			}
		})
	}
}

func TestWhatCannotBeDoneIsSkipped(t *testing.T) {
	for _, name := range []string{"links/are names of one file", "xattrs/are kept, listed and removed", "space/is found in data and holes"} {
		if r := judge(t, name, fault{}); !r.skipped || r.failed {
			t.Errorf("%s: skipped %v, failed %v: %s", name, r.skipped, r.failed, r.said)
		}
	}
}
