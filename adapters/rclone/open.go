package rclone

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/config"
	rvfs "github.com/rclone/rclone/vfs"
	"github.com/rclone/rclone/vfs/vfscommon"

	"github.com/fsva/fsva/adapters"
	"github.com/fsva/fsva/adapters/billy"
	"github.com/fsva/fsva/vfs"
)

func init() {
	for name, locate := range map[string]func(*adapters.Source) (location, error){
		"s3": locateS3, "sftp": locateSFTP, "rclone": locateRclone,
	} {
		parse := func(s adapters.Source) (location, settings, error) {
			l, err := locate(&s)
			if err != nil {
				return l, settings{}, fmt.Errorf("%s: %w", name, err)
			}
			set, err := parseSettings(&s)
			if err != nil {
				err = fmt.Errorf("%s: %w", name, err)
			}
			return l, set, err
		}
		adapters.Register(name, adapters.Scheme{
			Check: func(s adapters.Source) error {
				_, _, err := parse(s)
				return err
			},
			Open: func(ctx context.Context, s adapters.Source, env adapters.Env) (vfs.FS, error) {
				l, set, err := parse(s)
				if err != nil {
					return nil, err
				}
				f, err := open(ctx, s.URL(), l, set, env)
				if err != nil {
					text := name + ": " + hide(err)
					if errors.Is(err, adapters.ErrUnreachable) {
						return nil, absence{text}
					}
					return nil, errors.New(text)
				}
				return f, nil
			},
		})
	}
}

// FS is a remote as a vfs.FS.
type FS struct {
	*billy.FS
	tree  *tree
	temp  string // a directory to remove, where nothing is to survive
	stop  context.CancelFunc
	swept sync.WaitGroup
}

// absence is why a remote that was served before cannot be opened now.
type absence struct{ text string }

func (a absence) Error() string { return a.text }

func (a absence) Unwrap() error { return adapters.ErrUnreachable }

// open opens a remote that must answer now: what waits in the cache from an
// earlier start cannot be put into directories that nobody can list. It is an
// absence if the remote does not, but did at an earlier start.
func open(ctx context.Context, url string, l location, set settings, env adapters.Env) (_ *FS, err error) {
	configure(env.Log)
	f := &FS{}
	dir := env.Dir
	if dir == "" {
		if f.temp, err = os.MkdirTemp("", "fsva-rclone-"); err != nil {
			return nil, err
		}
		dir = f.temp
	}
	defer func() {
		if err != nil {
			_ = f.shut() // what failed first is what counts
		}
	}()
	if err := f.reach(ctx, url, l, set, env, dir); err != nil {
		return nil, err
	}
	state := filepath.Join(dir, "index")
	if env.Dir == "" {
		state = ""
	}
	if f.FS, err = billy.New(f.tree, billy.Options{State: state, Owner: set.owner}); err != nil {
		return nil, err
	}
	return f, nil
}

// reach makes the tree of a remote.
func (f *FS) reach(opening context.Context, url string, l location, set settings, env adapters.Env, dir string) error {
	ctx, c := fs.AddConfig(context.Background())
	c.UseServerModTime = set.serverMod
	limit, ledger := set.timeout, filepath.Join(dir, "ledger")
	_, err := os.Stat(ledger)
	before := err == nil
	if before {
		limit = min(limit, againLimit)
	}
	far, err := openWithin(opening, limit, func() (fs.Fs, error) {
		far, err := l.open(ctx, url)
		if err == nil {
			err = lookAtRoot(far)(ctx)
		}
		return far, err
	})
	if err != nil && before {
		return absence{"the remote cannot be reached: " + err.Error()}
	}
	if err != nil {
		return fmt.Errorf("the remote cannot be reached: %w", err)
	}
	h := newHealth(env.Log, lookAtRoot(far))
	t := &tree{
		remote: newRemote(far, set, h, env.Log), patience: &patience{limit: set.timeout, health: h},
		claims: newClaims(), set: set, exclusive: env.Exclusive, started: time.Now(),
	}
	f.tree = t
	cache := filepath.Join(dir, "cache")
	t.store = newStore(cache, far.Name(), far.Root())
	if err := os.MkdirAll(t.store.data, 0o700); err != nil {
		return err
	}
	if t.ledger, err = newLedger(ledger, t.store, t.uploaded, env.Log); err != nil {
		return err
	}
	if err := t.ledger.repair(); err != nil {
		return fmt.Errorf("the cache: %w", err)
	}
	if t.vfs, err = newVFS(ctx, t.remote, cache, set); err != nil {
		return err
	}
	listen(t.ledger)
	t.adopt()
	sweeping, stop := context.WithCancel(context.Background())
	f.stop = stop
	f.swept.Go(func() { t.sweepUntil(sweeping) })
	return nil
}

// againLimit is how long a remote that was served before is waited for: other
// exports wait too, and it is asked again later.
const againLimit = 10 * time.Second

// openWithin calls op, but waits no longer than limit, nor than ctx.
func openWithin(ctx context.Context, limit time.Duration, op func() (fs.Fs, error)) (fs.Fs, error) {
	type result struct {
		far fs.Fs
		err error
	}
	done := make(chan result, 1)
	go func() {
		far, err := op()
		done <- result{far, err}
	}()
	select {
	case r := <-done:
		if errors.Is(r.err, fs.ErrorDirNotFound) {
			r.err = errors.New("there is no such bucket or directory")
		}
		return r.far, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(limit):
		return nil, fmt.Errorf("no answer within %v", limit)
	}
}

// made guards rclone's cache directory, of which a process has one at a time,
// and counts file systems.
var (
	making sync.Mutex
	made   atomic.Uint32
)

const (
	keepFree = 256 << 20 // bytes of the disk that clean files of the cache leave free
	maxAge   = 24 * time.Hour
	hold     = 24 * time.Hour
)

func newVFS(ctx context.Context, f fs.Fs, cache string, set settings) (*rvfs.VFS, error) {
	opt := vfscommon.Opt
	opt.CacheMode = vfscommon.CacheModeFull
	opt.DirCacheTime = fs.Duration(set.dirCache)
	opt.Links = set.links
	opt.CacheMaxSize = set.cache
	opt.CacheMaxAge = fs.Duration(maxAge)
	opt.CacheMinFreeSpace = keepFree
	opt.Umask = 0
	// A file that was closed writes no more into the cache, which may be
	// another file system's then.
	opt.HandleCaching = 0
	// The time of a file on S3 is told with other precision by each request.
	opt.FastFingerprint = f.Features().SlowModTime && !f.Features().SlowHash
	// Two file systems of one remote are two, with a cache each: rclone would
	// make them one if they did not differ here, in what only its mounts use.
	opt.UID = made.Add(1)
	// Nothing is uploaded before adopt has seen it.
	opt.WriteBack = fs.Duration(hold)

	making.Lock()
	defer making.Unlock()
	if err := config.SetCacheDir(cache); err != nil {
		return nil, err
	}
	v := rvfs.New(ctx, f, &opt)
	v.Opt.WriteBack = fs.Duration(set.writeBack)
	if v.Opt.CacheMode != vfscommon.CacheModeFull {
		v.Shutdown()
		return nil, fmt.Errorf("rclone cannot use the cache directory %s", cache)
	}
	return v, nil
}

// sweepPause is how often the ledger looks what has been uploaded.
const sweepPause = 2 * time.Second

func (t *tree) sweepUntil(ctx context.Context) {
	tick := time.NewTicker(sweepPause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			t.ledger.sweep()
		}
	}
}

// context is for requests to the remote that are not rclone's vfs's.
func (t *tree) context() context.Context { return context.Background() }

// Close implements vfs.FS. What is not uploaded waits in the cache for the next
// start.
func (f *FS) Close() error { return errors.Join(f.FS.Close(), f.shut()) }

// shut ends all but the billy.FS.
func (f *FS) shut() error {
	if f.stop != nil {
		f.stop()
		f.swept.Wait()
	}
	if t := f.tree; t != nil {
		if t.vfs != nil {
			unlisten(t.ledger)
			t.vfs.Shutdown()
			t.ledger.sweep()
			if n := t.ledger.waiting(); n > 0 && f.temp == "" {
				t.ledger.log.Info().Int("files", n).Msg("files wait in the cache to be uploaded after the next start")
			}
		}
		t.patience.health.close()
	}
	if f.temp != "" {
		return os.RemoveAll(f.temp)
	}
	return nil
}

var _ vfs.FS = (*FS)(nil)
