package main

import (
	"fmt"

	"github.com/fsva/fsva/tests/nfs41"
)

// A workload is one row of the table.
type workload struct {
	name string
	// bytes and items are what one step moves: data, and directory entries.
	bytes, items int
	// serial workloads are too long to be run many at once.
	serial  bool
	prepare func(w *worker) (task, error)
}

const (
	kib = 1 << 10
	mib = 1 << 20
)

var workloads = []workload{
	{name: "null", prepare: null},
	{name: "getattr", prepare: getattr},
	{name: "lookup", prepare: lookup},
	{name: "access", prepare: access},
	{name: "read 4K", bytes: 4 * kib, prepare: read(4 * kib)},
	{name: "read 1M", bytes: mib, prepare: read(mib)},
	{name: "write 4K unstable+commit", bytes: 4 * kib, prepare: write(4*kib, nfs41.Unstable)},
	{name: "write 4K file-sync", bytes: 4 * kib, prepare: write(4*kib, nfs41.FileSync)},
	{name: "write 1M unstable+commit", bytes: mib, prepare: write(mib, nfs41.Unstable)},
	{name: "write 1M file-sync", bytes: mib, prepare: write(mib, nfs41.FileSync)},
	{name: "create+close+remove", prepare: create},
	{name: "readdir 10000", items: 10_000, serial: true, prepare: readdir(10_000)},
	{name: "readdir 100000", items: 100_000, serial: true, prepare: readdir(100_000)},
}

// linuxAttrs is what a Linux client's GETATTR asks for.
var linuxAttrs = nfs41.Mask(
	nfs41.AttrType, nfs41.AttrChange, nfs41.AttrSize, nfs41.AttrFSID, nfs41.AttrFileID,
	nfs41.AttrMode, nfs41.AttrNumLinks, nfs41.AttrOwner, nfs41.AttrOwnerGroup, nfs41.AttrRawDev,
	nfs41.AttrSpaceUsed, nfs41.AttrTimeAccess, nfs41.AttrTimeMetadata, nfs41.AttrTimeModify,
	nfs41.AttrMountedOnFileID)

func null(w *worker) (task, error) {
	return task{step: w.Conn.Null}, nil
}

// getattr, lookup and access go round all small files, so that no server
// answers from one hot object.
func getattr(w *worker) (task, error) {
	return overSmallFiles(w, func(dir, fh nfs41.FH, name string) []nfs41.Op {
		return []nfs41.Op{nfs41.PutFH(fh), &nfs41.GetAttr{Mask: linuxAttrs}}
	})
}

func lookup(w *worker) (task, error) {
	return overSmallFiles(w, func(dir, fh nfs41.FH, name string) []nfs41.Op {
		return []nfs41.Op{nfs41.PutFH(dir), nfs41.Lookup(name), &nfs41.GetFH{}, &nfs41.GetAttr{Mask: linuxAttrs}}
	})
}

func access(w *worker) (task, error) {
	want := nfs41.AccessRead | nfs41.AccessModify | nfs41.AccessExtend | nfs41.AccessExecute
	return overSmallFiles(w, func(dir, fh nfs41.FH, name string) []nfs41.Op {
		return []nfs41.Op{nfs41.PutFH(fh), &nfs41.Access{Want: want}, &nfs41.GetAttr{Mask: linuxAttrs}}
	})
}

func overSmallFiles(w *worker, ops func(dir, fh nfs41.FH, name string) []nfs41.Op) (task, error) {
	var dir nfs41.GetFH
	if err := w.Do(nfs41.PutFH(w.root), nfs41.Lookup("small"), &dir); err != nil {
		return task{}, err
	}
	calls := make([][]nfs41.Op, smallFiles)
	for i := range calls {
		var fh nfs41.GetFH
		name := fmt.Sprint(i)
		if err := w.Do(nfs41.PutFH(dir.FH), nfs41.Lookup(name), &fh); err != nil {
			return task{}, err
		}
		calls[i] = ops(dir.FH, fh.FH, name)
	}
	n := w.id
	return task{step: func() error {
		n++
		return w.Do(calls[n%smallFiles]...)
	}}, nil
}

// create is what untar, compilers and editors do to a server.
func create(w *worker) (task, error) {
	n := 0
	return task{step: func() error {
		n++
		name := fmt.Sprintf("create %d.%d", w.id, n)
		f, err := openFile(w, w.home, name, w.owner())
		if err != nil {
			return err
		}
		if err := f.close(); err != nil {
			return err
		}
		return w.Do(nfs41.PutFH(w.home), &nfs41.Remove{Name: name})
	}}, nil
}

// readdir lists a whole directory with attributes.
func readdir(entries int) func(w *worker) (task, error) {
	return func(w *worker) (task, error) {
		var dir nfs41.GetFH
		if err := w.Do(nfs41.PutFH(w.root), nfs41.Lookup(dirName(entries)), &dir); err != nil {
			return task{}, err
		}
		return task{step: func() error {
			op := nfs41.ReadDir{DirCount: 64 * kib, MaxCount: 256 * kib, Mask: linuxAttrs}
			seen := make(map[string]bool, entries)
			for more := true; more; more = op.Next() {
				if err := w.Do(nfs41.PutFH(dir.FH), &op); err != nil {
					return err
				}
				for _, e := range op.Entries {
					seen[e.Name] = true
				}
			}
			if len(seen) != entries {
				return fmt.Errorf("%d of %d entries listed", len(seen), entries)
			}
			return nil
		}}, nil
	}
}
