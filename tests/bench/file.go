package main

import (
	"errors"
	"time"

	"github.com/fsva/fsva/tests/nfs41"
)

// A caller is a worker's slot or a whole session.
type caller interface {
	Do(ops ...nfs41.Op) error
}

// A file is one that is open for reading and writing.
type file struct {
	c       caller
	fh      nfs41.FH
	stateid nfs41.Stateid
}

// openFile opens a file as Linux does, and creates it if it is not there. It
// waits while the server asks for patience. Opens of one file by one owner are
// one open, so workers that share a file have each their own.
func openFile(c caller, dir nfs41.FH, name, owner string) (*file, error) {
	open := nfs41.Open{
		Access: nfs41.ShareBoth | nfs41.WantNoDeleg,
		Owner:  []byte(owner),
		Create: nfs41.Unchecked,
		Attrs:  nfs41.Attrs{Mask: createAttrs, Mode: 0o644},
		Name:   name,
	}
	var fh nfs41.GetFH
	for {
		err := c.Do(nfs41.PutFH(dir), &open, &fh, &nfs41.GetAttr{Mask: linuxAttrs})
		if errors.Is(err, nfs41.NFS4ERR_GRACE) || errors.Is(err, nfs41.NFS4ERR_DELAY) {
			time.Sleep(100 * time.Millisecond)
			continue
		}
		return &file{c, fh.FH, open.Stateid}, err
	}
}

var createAttrs = nfs41.Mask(nfs41.AttrMode)

func (f *file) close() error {
	return f.c.Do(nfs41.PutFH(f.fh), &nfs41.Close{Stateid: f.stateid})
}
