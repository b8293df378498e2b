package main

import (
	"fmt"
	"math/rand/v2"

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

// read reads blocks of the big file, small ones in random order as databases
// do and large ones in sequence as copies do.
func read(size int) func(w *worker) (task, error) {
	return func(w *worker) (task, error) {
		f, err := openFile(w, w.root, "big", w.owner())
		if err != nil {
			return task{}, err
		}
		const blocks = bigSize / mib
		op := nfs41.Read{Stateid: f.stateid, Count: uint32(size)}
		ops := []nfs41.Op{nfs41.PutFH(f.fh), &op}
		n := 0
		return task{
			step: func() error {
				op.Offset = uint64((w.id*7+n)%blocks) * mib
				if size < mib {
					op.Offset = rand.Uint64N(bigSize/uint64(size)) * uint64(size)
				}
				if err := w.Do(ops...); err != nil {
					return err
				}
				if len(op.Data) != size {
					return fmt.Errorf("%d of %d bytes read at %d", len(op.Data), size, op.Offset)
				}
				n++
				if n%16 != 1 { // comparing all would take processor time from the server
					return nil
				}
				return check(op.Data, op.Offset)
			},
			end: f.close,
		}, nil
	}
}

// write goes through a file of the worker's own again and again. Unstable data
// is committed 16 times in each pass.
func write(size int, stable nfs41.StableHow) func(w *worker) (task, error) {
	return func(w *worker) (task, error) {
		name := fmt.Sprintf("write %d", w.id)
		f, err := openFile(w, w.home, name, w.owner())
		if err != nil {
			return task{}, err
		}
		op := nfs41.Write{Stateid: f.stateid, Stable: stable}
		blocks := min(len(pattern)/size, 1024)
		n, written := 0, 0
		step := func() error {
			op.Offset = uint64(n % blocks * size)
			op.Data = pattern[op.Offset : op.Offset+uint64(size)]
			if err := w.Do(nfs41.PutFH(f.fh), &op); err != nil {
				return err
			}
			if int(op.Count) != size || op.Committed < stable {
				return fmt.Errorf("%d of %d bytes written, committed %d", op.Count, size, op.Committed)
			}
			n++
			written = max(written, int(op.Offset)+size)
			if op.Committed != nfs41.Unstable || n%(blocks/16) != 0 {
				return nil
			}
			return w.commit(f, op.Verifier)
		}
		end := func() error {
			if err := w.readBack(f, written); err != nil {
				return err
			}
			if err := f.close(); err != nil {
				return err
			}
			return w.Do(nfs41.PutFH(w.home), &nfs41.Remove{Name: name})
		}
		return task{step, end}, nil
	}
}

// commit makes all of f stable and checks that the server did not restart
// since it took the data.
func (w *worker) commit(f *file, since nfs41.Verifier) error {
	c := nfs41.Commit{}
	if err := w.Do(nfs41.PutFH(f.fh), &c); err != nil {
		return err
	}
	if c.Verifier != since {
		return fmt.Errorf("the write verifier changed from %x to %x", since, c.Verifier)
	}
	return nil
}

// readBack checks the first n bytes of f.
func (w *worker) readBack(f *file, n int) error {
	op := nfs41.Read{Stateid: f.stateid}
	for off := 0; off < n; off += len(op.Data) {
		op.Offset, op.Count = uint64(off), uint32(min(n-off, mib))
		if err := w.Do(nfs41.PutFH(f.fh), &op); err != nil {
			return err
		}
		if len(op.Data) == 0 {
			return fmt.Errorf("only %d of %d bytes written can be read", off, n)
		}
		if err := check(op.Data, op.Offset); err != nil {
			return err
		}
	}
	return nil
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
		if err := w.Do(nfs41.PutFH(w.root), nfs41.Lookup(fmt.Sprintf("dir%d", entries)), &dir); err != nil {
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
