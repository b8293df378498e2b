package p9fs

import (
	"reflect"
	"sync/atomic"

	"github.com/hugelgupf/p9/p9"
)

// fid is a p9.File that is closed when its last reference goes. It keeps the
// File of the directory it was walked to from, as the library's server does.
type fid struct {
	file p9.File
	up   *fid
	refs atomic.Int32
}

// newFID takes over the caller's File and its reference to up, which may be
// nil, and has one reference.
func newFID(file p9.File, up *fid) *fid {
	f := &fid{file: file, up: up}
	f.refs.Store(1)
	return f
}

// ref adds a reference. The caller knows that there is one.
func (f *fid) ref() *fid {
	f.refs.Add(1)
	return f
}

// unref gives a reference back. A nil fid has none.
func (f *fid) unref() {
	for f != nil && f.refs.Add(-1) == 0 {
		f.file.Close() // whose error means nothing: see p9.File
		f = f.up
	}
}

// walk goes to an entry of the directory.
func (f *fid) walk(name string) (p9.QID, *fid, error) {
	qids, file, err := f.file.Walk([]string{name})
	if err != nil {
		return p9.QID{}, nil, errno(err)
	}
	next := newFID(file, f.ref())
	if len(qids) != 1 {
		next.unref()
		return p9.QID{}, nil, errBroken
	}
	return qids[0], next, nil
}

// clone returns another, unopened File for the same node.
func (f *fid) clone() (*fid, error) {
	_, file, err := f.file.Walk(nil)
	if err != nil {
		return nil, gone(err)
	}
	if f.up != nil {
		f.up.ref()
	}
	return newFID(file, f.up), nil
}

// sameFile reports whether two Files are one, as the one that the library's
// client returns from Create is the directory's.
func sameFile(a, b p9.File) bool {
	return reflect.TypeOf(a) == reflect.TypeOf(b) && reflect.ValueOf(a).Comparable() && a == b
}
