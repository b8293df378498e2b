package git

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
)

const (
	maxSymbolic = 5       // how many symbolic refs git follows
	maxRefText  = 4096    // longer than anything a ref file can hold
	maxRefs     = 1 << 20 // in packed-refs
	maxPacked   = 1 << 28 // bytes of packed-refs
)

var (
	// errNoRef says that there is no such ref.
	errNoRef = errors.New("no such ref")
	// errBadRef says that there is something else where a ref is to be.
	errBadRef = errors.New("it is no ref")
)

// allRefs returns the object of each ref, by full name: HEAD and all below refs/.
// Those that lead nowhere are left out, such as HEAD before the first commit.
func (r *repository) allRefs() (map[string]plumbing.Hash, error) {
	texts, err := r.refTexts()
	if err != nil {
		return nil, err
	}
	read := func(name string) (string, error) {
		if text, ok := texts[name]; ok {
			return text, nil
		}
		return "", errNoRef
	}
	refs := make(map[string]plumbing.Hash, len(texts))
	for name := range texts {
		id, err := follow(name, read)
		if err == nil {
			refs[name] = id
		}
	}
	return refs, nil
}

// refTexts returns what each ref holds. Loose refs are read first: who packs
// them writes packed-refs before they are removed.
func (r *repository) refTexts() (map[string]string, error) {
	loose, err := r.looseRefs()
	if err != nil {
		return nil, err
	}
	refs := map[string]string{}
	if err := r.readPackedRefs(refs); err != nil {
		return nil, err
	}
	for name, text := range loose {
		refs[name] = text
	}
	head, err := readLooseRef(filepath.Join(r.gitDir, "HEAD")) // each worktree has its own
	switch {
	case err == nil:
		refs["HEAD"] = head
	case !errors.Is(err, errNoRef) && !errors.Is(err, errBadRef):
		return nil, err
	}
	return refs, nil
}

func (r *repository) looseRefs() (map[string]string, error) {
	loose := map[string]string{}
	err := filepath.WalkDir(filepath.Join(r.common, "refs"), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it went meanwhile
		}
		if err != nil || d.IsDir() || strings.HasSuffix(path, ".lock") {
			return err
		}
		text, err := readLooseRef(path)
		if errors.Is(err, errNoRef) || errors.Is(err, errBadRef) { // what a crash cut short too: the packed one stands
			return nil
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(r.common, path)
		loose[name] = text
		return err
	})
	return loose, err
}

// follow follows symbolic refs to an object. read returns what a ref holds.
func follow(name string, read func(name string) (string, error)) (plumbing.Hash, error) {
	at := name
	for range maxSymbolic {
		text, err := read(at)
		if err != nil {
			return plumbing.ZeroHash, err
		}
		target, symbolic := strings.CutPrefix(text, "ref:")
		if !symbolic {
			return plumbing.NewHash(text), nil
		}
		at = strings.TrimSpace(target)
	}
	return plumbing.ZeroHash, fmt.Errorf("%w: the symbolic ref %q leads nowhere", errNoRef, name)
}

// readLooseRef returns what a ref file holds: an object name or "ref: " and a
// ref.
func readLooseRef(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // not to wait for who writes a FIFO
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return "", errNoRef
	case err != nil:
		return "", err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return "", errors.Join(errNoRef, err)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxRefText))
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(string(b))
	if !plumbing.IsHash(text) && !strings.HasPrefix(text, "ref:") {
		return "", fmt.Errorf("%s: %w", path, errBadRef)
	}
	return text, nil
}

// readPackedRefs adds what packed-refs holds.
func (r *repository) readPackedRefs(refs map[string]string) error {
	f, err := os.Open(filepath.Join(r.common, "packed-refs"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxPacked))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		if line[0] == '#' || line[0] == '^' { // a remark, or what the tag above peels to
			continue
		}
		id, name, ok := strings.Cut(strings.TrimRight(line, "\n"), " ")
		if !ok || !plumbing.IsHash(id) {
			return fmt.Errorf("%s is malformed at %.100q", f.Name(), line)
		}
		if refs[name] = id; len(refs) > maxRefs {
			return fmt.Errorf("%s has more than %d refs", f.Name(), maxRefs)
		}
	}
	return nil
}

// refsStamp tells whether refs changed: git replaces files by renaming, which
// leaves its mark on their directory.
type refsStamp struct {
	files  int
	newest time.Time
	sum    uint64 // of all times, sizes and numbers: a directory may also become older
}

func (s *refsStamp) note(st os.FileInfo) {
	if st.ModTime().After(s.newest) {
		s.newest = st.ModTime()
	}
	s.files++
	const prime = 0x100000001b3
	mix := []uint64{uint64(st.ModTime().UnixNano()), uint64(st.Size())}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		mix = append(mix, sys.Ino)
	}
	for _, v := range mix {
		s.sum = (s.sum ^ v) * prime
	}
}

func (r *repository) refsStamp() (s refsStamp, err error) {
	err = filepath.WalkDir(filepath.Join(r.common, "refs"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			var st os.FileInfo
			if st, err = d.Info(); err == nil {
				s.note(st)
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		return s, err
	}
	for _, path := range []string{filepath.Join(r.common, "packed-refs"), filepath.Join(r.gitDir, "HEAD")} {
		st, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return s, err
		}
		s.note(st)
	}
	return s, nil
}
