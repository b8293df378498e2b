package objects

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/go-git/go-git/v5/plumbing"
)

func openLoose(dir string, id plumbing.Hash) (*os.File, error) {
	hex := id.String()
	f, err := os.Open(filepath.Join(dir, hex[:2], hex[2:]))
	if errors.Is(err, syscall.ENOTDIR) {
		err = fs.ErrNotExist
	}
	return f, err
}

// loose is a loose object while it is read: its type and size in text and a NUL,
// then the content, all deflated.
type loose struct {
	*inflater
	file *os.File
	typ  plumbing.ObjectType
	size int64
}

// newLoose reads the header. It takes over f, also when it fails.
func newLoose(f *os.File) (*loose, error) {
	z, err := inflate(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	l := &loose{inflater: z, file: f}
	if err := l.readHeader(); err != nil {
		l.close()
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return l, nil
}

func (l *loose) close() {
	l.inflater.close()
	l.file.Close()
}

func (l *loose) readHeader() error {
	var head [32]byte // "commit " and the digits of an int64
	n := 0
	for {
		if _, err := io.ReadFull(l.inflater, head[n:n+1]); err != nil {
			return corrupt(err)
		}
		if head[n] == 0 {
			break
		}
		if n++; n == len(head) {
			return ErrCorrupt
		}
	}
	kind, digits, _ := bytes.Cut(head[:n], []byte(" "))
	typ, err := plumbing.ParseObjectType(string(kind))
	if err != nil {
		return ErrCorrupt
	}
	size, err := strconv.ParseInt(string(digits), 10, 64)
	if err != nil || size < 0 {
		return ErrCorrupt
	}
	l.typ, l.size = typ, size
	return nil
}

func (l *loose) readAll(limit int64) ([]byte, error) {
	if l.size > limit {
		return nil, ErrTooLarge
	}
	return l.inflater.readAll(l.size)
}
