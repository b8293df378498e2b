package main

import (
	"fmt"
	"math/rand/v2"

	"github.com/fsva/fsva/tests/nfs41"
)

var zeroes [mib]byte

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

// write goes through a file of the worker's own again and again; its blocks are
// there before, so that their allocation is not measured. Unstable data is
// committed 16 times in each pass.
func write(size int, stable nfs41.StableHow) func(w *worker) (task, error) {
	return func(w *worker) (task, error) {
		name := fmt.Sprintf("write %d", w.id)
		f, err := openFile(w, w.home, name, w.owner())
		if err != nil {
			return task{}, err
		}
		blocks := min(len(pattern)/size, 1024)
		if err := w.fill(f, blocks*size); err != nil {
			return task{}, err
		}
		op := nfs41.Write{Stateid: f.stateid, Stable: stable}
		n, written := 0, 0
		step := func() error {
			if err := w.writeAt(f, &op, n%blocks*size, size); err != nil {
				return err
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

// writeAt writes the pattern's size bytes at off.
func (w *worker) writeAt(f *file, op *nfs41.Write, off, size int) error {
	op.Offset, op.Data = uint64(off), pattern[off:off+size]
	if err := w.Do(nfs41.PutFH(f.fh), op); err != nil {
		return err
	}
	if int(op.Count) != size || op.Committed < op.Stable {
		return fmt.Errorf("%d of %d bytes written, committed %d", op.Count, size, op.Committed)
	}
	return nil
}

// fill makes the first n bytes zeroes that are on the disk.
func (w *worker) fill(f *file, n int) error {
	op := nfs41.Write{Stateid: f.stateid}
	for off := 0; off < n; off += len(op.Data) {
		op.Offset, op.Data = uint64(off), zeroes[:min(n-off, mib)]
		if err := w.Do(nfs41.PutFH(f.fh), &op); err != nil {
			return err
		}
		if int(op.Count) != len(op.Data) {
			return fmt.Errorf("%d of %d bytes written", op.Count, len(op.Data))
		}
	}
	return w.commit(f, op.Verifier)
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
