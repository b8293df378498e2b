package rclone

import (
	"context"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/lib/encoder"
	"github.com/rs/zerolog"

	"github.com/fsva/fsva/vfs"
)

// remote is a file system of rclone's with only those names that a tree can
// hold, by the rules in the package comment. It also tells health what it sees.
type remote struct {
	fs.Fs
	features *fs.Features
	links    bool
	limit    time.Duration // of a call
	health   *health
	log      zerolog.Logger

	mu   sync.Mutex
	told map[string]bool // directories of which the log has what is left out
}

// maxTold bounds how many directories the log gets to read about.
const maxTold = 100

func newRemote(f fs.Fs, set settings, h *health, log zerolog.Logger) *remote {
	features := *f.Features()
	// Listings go by List, so that none has more than List shows.
	features.ListR, features.ListP = nil, nil
	return &remote{Fs: f, features: &features, links: set.links, limit: set.timeout, health: h, log: log, told: make(map[string]bool)}
}

// Features implements fs.Fs.
func (r *remote) Features() *fs.Features { return r.features }

// List implements fs.Fs.
func (r *remote) List(ctx context.Context, dir string) (fs.DirEntries, error) {
	entries, err := r.Fs.List(ctx, dir)
	r.health.saw(err)
	if err != nil {
		return nil, err
	}
	return r.presentable(dir, entries), nil
}

// NewObject implements fs.Fs.
func (r *remote) NewObject(ctx context.Context, name string) (fs.Object, error) {
	o, err := r.Fs.NewObject(ctx, name)
	r.health.saw(err)
	return o, err
}

// Mkdir implements fs.Fs.
func (r *remote) Mkdir(ctx context.Context, dir string) error {
	err := r.Fs.Mkdir(ctx, dir)
	r.health.saw(err)
	return err
}

// Rmdir implements fs.Fs.
func (r *remote) Rmdir(ctx context.Context, dir string) error {
	err := r.Fs.Rmdir(ctx, dir)
	r.health.saw(err)
	return err
}

// presentable leaves out what cannot be in a directory.
func (r *remote) presentable(dir string, entries fs.DirEntries) fs.DirEntries {
	kept := make(fs.DirEntries, 0, len(entries))
	at := make(map[string]int, len(entries)) // in kept, by name
	var left []string
	for _, e := range entries {
		name, ok := r.nameIn(dir, e.Remote())
		if !ok {
			left = append(left, e.Remote())
			continue
		}
		i, taken := at[name]
		switch {
		case !taken:
			at[name] = len(kept)
			kept = append(kept, e)
		case r.rank(e) > r.rank(kept[i]):
			left = append(left, kept[i].Remote())
			kept[i] = e
		default:
			left = append(left, e.Remote())
		}
	}
	r.tell(dir, left)
	return kept
}

// nameIn is the name that an entry has in the directory.
func (r *remote) nameIn(dir, entry string) (name string, ok bool) {
	name = entry
	if dir != "" {
		if name, ok = strings.CutPrefix(entry, dir+"/"); !ok {
			return "", false
		}
	}
	if r.links {
		name = strings.TrimSuffix(name, fs.LinkSuffix)
	}
	guests := encoder.OS.FromStandardName(name)
	return name, name == path.Base(name) && vfs.CheckName(guests) == nil
}

// rank says which of two entries of one name stays.
func (r *remote) rank(e fs.DirEntry) int {
	switch _, isDir := e.(fs.Directory); {
	case isDir:
		return 2
	case r.links && strings.HasSuffix(e.Remote(), fs.LinkSuffix):
		return 0
	}
	return 1
}

// tell logs what is left out, once for a directory.
func (r *remote) tell(dir string, left []string) {
	if len(left) == 0 {
		return
	}
	r.mu.Lock()
	known := r.told[dir] || len(r.told) >= maxTold
	if !known {
		r.told[dir] = true
	}
	r.mu.Unlock()
	if !known {
		r.log.Warn().Str("directory", "/"+dir).Int("names", len(left)).Str("example", left[0]).
			Msg("left out what no directory can hold beside the rest")
	}
}

var _ fs.Fs = (*remote)(nil)
