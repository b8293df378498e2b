package rclone

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/rs/zerolog"
)

// ledger knows which files of the cache have data that the remote has not. It is
// there because rclone's cache alone can lose them: it writes what it knows of a
// file in place, and removes the file when it finds that damaged, or when it
// cannot write it because the disk is full.
//
// For each such file there are two in the ledger's directory, called by a hash
// of its name: ID.name holds the name and ID.data is a hard link to the data,
// which stays when rclone removes its own. [ledger.repair] puts back what is
// missing, before rclone looks.
//
// A file is entered when all of it is in the cache and nothing of it was changed
// yet, so that what the ledger names can be uploaded whole.
type ledger struct {
	dir   string
	store *store
	log   zerolog.Logger
	// uploaded asks the remote whether it has a file as fi shows it. Without
	// a sure yes it is no.
	uploaded func(name string, fi os.FileInfo) bool

	mu      sync.Mutex
	files   map[string]*entry // by name
	failing map[string]bool   // those whose upload has failed
	told    bool              // the log knows that uploads fail
}

// entry is a file in the ledger.
type entry struct {
	writers int  // who has it open to write
	durable bool // the ledger's own files are
	lost    bool // the log knows that rclone has removed it
}

func newLedger(dir string, s *store, uploaded func(string, os.FileInfo) bool, log zerolog.Logger) (*ledger, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return &ledger{dir: dir, store: s, uploaded: uploaded, log: log, files: make(map[string]*entry), failing: make(map[string]bool)}, nil
}

func (l *ledger) at(name, kind string) string {
	sum := sha256.Sum256([]byte(name))
	return filepath.Join(l.dir, hex.EncodeToString(sum[:16])+kind)
}

// enter enters a file that is about to be changed, on behalf of one writer who
// calls leave in the end.
func (l *ledger) enter(name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.files[name]
	if e == nil {
		e = &entry{}
	}
	if err := l.write(name, l.store.dataOf(name)); err != nil {
		return err
	}
	l.files[name] = e
	e.writers++
	return nil
}

// write makes the ledger's two files for name, whose data is at path. mu is
// held, as in what follows.
func (l *ledger) write(name, path string) error {
	link := l.at(name, ".data")
	if sameFile(link, path) {
		return nil
	}
	if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.WriteFile(l.at(name, ".name"), []byte(name), 0o600); err != nil {
		return err
	}
	if e := l.files[name]; e != nil {
		e.durable = false
	}
	return os.Link(path, link)
}

func (l *ledger) leave(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.files[name]; e != nil {
		e.writers--
	}
}

// sync makes durable that a file is entered.
func (l *ledger) sync(name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.files[name]
	if e == nil || e.durable {
		return nil
	}
	if err := errors.Join(syncPath(l.at(name, ".name")), syncPath(l.dir)); err != nil {
		return err
	}
	e.durable = true
	return nil
}

// has reports whether a file may have data that the remote has not.
func (l *ledger) has(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.files[name] != nil
}

// drop takes a file out that is about to be removed.
func (l *ledger) drop(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remove(name)
}

func (l *ledger) remove(name string) {
	// What cannot be removed is found to be uploaded at the next start.
	_ = os.Remove(l.at(name, ".name"))
	_ = os.Remove(l.at(name, ".data"))
	delete(l.files, name)
	l.recovered(name)
}

// move enters what is at or below a name under another too, before it is
// renamed. settle is to be called with whether it was, and until then sweep looks
// at neither: what the cache has at the new names may be of earlier files.
func (l *ledger) move(from, to string) (settle func(moved bool), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	both := make(map[string]string)
	for name := range l.files {
		if within(name, from) {
			both[name] = to + name[len(from):]
		}
	}
	settle = func(moved bool) {
		l.mu.Lock()
		defer l.mu.Unlock()
		for old, new := range both {
			gone, stays := old, new
			if !moved {
				gone, stays = new, old
			}
			l.remove(gone)
			if e := l.files[stays]; e != nil {
				e.writers--
			}
		}
	}
	for old, new := range both {
		l.files[old].writers++
		l.remove(new) // of what is replaced
		l.files[new] = &entry{writers: 1}
	}
	for old, new := range both {
		if err := l.write(new, l.store.dataOf(old)); err != nil {
			return settle, err
		}
	}
	return settle, nil
}

// below returns the files at and below a name.
func (l *ledger) below(dir string) (names []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name := range l.files {
		if within(name, dir) {
			names = append(names, name)
		}
	}
	return names
}

// within reports whether a name is at or below another.
func within(name, dir string) bool {
	rest, ok := strings.CutPrefix(name, dir)
	return ok && (rest == "" || rest[0] == '/')
}

// sweep takes out what has been uploaded.
func (l *ledger) sweep() {
	for _, name := range l.settled() {
		info, err := l.store.info(name)
		_, missing := os.Stat(l.store.dataOf(name))
		switch {
		case err == nil && !info.Dirty:
			l.forget(name)
		case errors.Is(err, os.ErrNotExist) && missing != nil:
			l.lost(name)
		}
	}
}

// settled are the files that nobody writes.
func (l *ledger) settled() (names []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, e := range l.files {
		if e.writers == 0 {
			names = append(names, name)
		}
	}
	return names
}

// forget takes a file out that was found to be uploaded, unless somebody writes
// it since.
func (l *ledger) forget(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.files[name]
	if e == nil || e.writers > 0 {
		return
	}
	if info, err := l.store.info(name); err == nil && !info.Dirty || errors.Is(err, os.ErrNotExist) {
		l.remove(name)
	}
}

// lost is about a file that rclone has removed from the cache: because it needed
// the room after an upload, or for want of room to write what it knew of it.
func (l *ledger) lost(name string) {
	fi, err := os.Stat(l.at(name, ".data"))
	if err != nil || l.uploaded(name, fi) {
		l.forget(name)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.files[name]; e != nil && !e.lost {
		e.lost = true
		l.log.Error().Str("file", "/"+name).Str("data", l.at(name, ".data")).
			Msg("the cache has lost a file that is not uploaded; its data is kept, and uploaded after the next start")
	}
}

// failed notes that a file could not be uploaded.
func (l *ledger) failed(name, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.files[name] == nil {
		return // of another export, or gone meanwhile
	}
	l.failing[name] = true
	if !l.told {
		l.told = true
		l.log.Error().Str("file", "/"+name).Int("waiting", len(l.files)).Str("reason", reason).
			Msg("uploads fail; files wait in the cache and are tried again until the remote takes them")
	}
}

// recovered notes that a file does not wait any more.
func (l *ledger) recovered(name string) {
	delete(l.failing, name)
	if l.told && len(l.failing) == 0 {
		l.told = false
		l.log.Info().Int("waiting", len(l.files)).Msg("uploads succeed again")
	}
}

// waiting is how many files have data that the remote may not have.
func (l *ledger) waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.files)
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}
