package rclone

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/rclone/rclone/lib/encoder"
	"github.com/rclone/rclone/lib/ranges"
	"github.com/rclone/rclone/vfs/vfscache"
)

// store is where rclone's cache keeps files: the data of each in one tree and
// what is known of it, a vfscache.Info as JSON, in another. Both have the names
// that the files have on the remote.
type store struct {
	data, meta string

	mu     sync.Mutex
	synced map[string]bool // directories that are durable
}

// newStore returns the store of a remote in the cache directory.
func newStore(cache, name, root string) *store {
	at := osPath(strings.Trim(name+"/"+root, "/"))
	return &store{
		data: filepath.Join(cache, "vfs", at), meta: filepath.Join(cache, "vfsMeta", at),
		synced: make(map[string]bool),
	}
}

// osPath is where rclone keeps a path in the cache.
func osPath(name string) string { return encoder.OS.FromStandardPath(name) }

func (s *store) dataOf(name string) string { return filepath.Join(s.data, osPath(name)) }
func (s *store) metaOf(name string) string { return filepath.Join(s.meta, osPath(name)) }

// info reads what is known of a file. Any error but ErrNotExist means that a
// crash of the machine, or a full disk, has damaged it.
func (s *store) info(name string) (info vfscache.Info, err error) {
	for range infoTries {
		b, err := os.ReadFile(s.metaOf(name))
		if err != nil {
			return info, err
		}
		if err = json.Unmarshal(b, &info); err == nil {
			return info, nil
		}
		info = vfscache.Info{}
		time.Sleep(infoPause)
	}
	return info, errDamaged
}

// rclone writes in place: who reads meanwhile reads again.
const (
	infoTries = 10
	infoPause = time.Millisecond
)

var errDamaged = errors.New("what the cache knows of a file is damaged")

// dirty reports whether a file waits to be uploaded, as far as can be known.
func (s *store) dirty(name string) bool {
	info, err := s.info(name)
	return err == nil && info.Dirty
}

// missing returns what the cache lacks of the first bytes of a file.
func (s *store) missing(name string, size int64) ranges.Ranges {
	info, err := s.info(name)
	if err != nil {
		return ranges.Ranges{{Pos: 0, Size: size}}
	}
	var gaps ranges.Ranges
	for _, r := range info.Rs.FindAll(ranges.Range{Pos: 0, Size: size}) {
		if !r.Present {
			gaps = append(gaps, r.R)
		}
	}
	return gaps
}

// tidy removes what rclone still writes about a file that was open when it was
// removed: a directory may get the name.
func (s *store) tidy(name string) {
	if _, err := os.Stat(s.dataOf(name)); errors.Is(err, os.ErrNotExist) {
		_ = os.Remove(s.metaOf(name))
	}
}

// makeWay removes files that are where directories on the way to a name have to
// be: rclone leaves what it knew of files that are gone. None of them is dirty,
// or the name would not be where it is.
func (s *store) makeWay(name string) {
	for dir := parent(name); dir != "" && dir != "."; dir = parent(dir) {
		for _, path := range []string{s.dataOf(dir), s.metaOf(dir)} {
			if fi, err := os.Lstat(path); err == nil && fi.Mode().IsRegular() {
				_ = os.Remove(path)
			}
		}
	}
}

// makeDirty writes anew what is known of a file of which all is there.
func (s *store) makeDirty(name string) error {
	fi, err := os.Stat(s.dataOf(name))
	if err != nil {
		return err
	}
	info := vfscache.Info{ModTime: fi.ModTime(), ATime: fi.ModTime(), Size: fi.Size(), Dirty: true}
	if info.Size > 0 {
		info.Rs = ranges.Ranges{{Pos: 0, Size: info.Size}}
	}
	b, err := json.Marshal(info)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(s.metaOf(name)), 0o700); err != nil {
		return err
	}
	return os.WriteFile(s.metaOf(name), b, 0o600)
}

// sync makes durable that a file is in the cache, once rclone has written it.
func (s *store) sync(name string) error {
	meta := s.metaOf(name)
	if err := syncPath(meta); err != nil {
		return err
	}
	return errors.Join(s.syncDirs(filepath.Dir(s.dataOf(name)), filepath.Dir(s.data)), s.syncDirs(filepath.Dir(meta), filepath.Dir(s.meta)),
		syncPath(filepath.Dir(s.dataOf(name))), syncPath(filepath.Dir(meta)))
}

// maxSynced bounds how many directories are remembered.
const maxSynced = 10_000

// syncDirs makes the directories from dir up to top durable.
func (s *store) syncDirs(dir, top string) error {
	for ; len(dir) > len(top); dir = filepath.Dir(dir) {
		s.mu.Lock()
		known := s.synced[dir]
		s.mu.Unlock()
		if known {
			return nil
		}
		if err := syncPath(filepath.Dir(dir)); err != nil {
			return err
		}
		s.mu.Lock()
		if len(s.synced) >= maxSynced {
			clear(s.synced)
		}
		s.synced[dir] = true
		s.mu.Unlock()
	}
	return nil
}

// forgetDirs has directories synced again that rclone may have removed, as it
// does with empty ones, and made again.
func (s *store) forgetDirs() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.synced)
}

// syncPath makes a file or the entries of a directory durable.
func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// eachDirty calls f with the name of each file that waits to be uploaded.
func (s *store) eachDirty(f func(name string) error) error {
	err := filepath.WalkDir(s.meta, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(s.meta, path)
		if err != nil {
			return err
		}
		if name := encoder.OS.ToStandardPath(rel); s.dirty(name) {
			return f(name)
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
