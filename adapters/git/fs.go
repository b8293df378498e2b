package git

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/rs/zerolog"

	"github.com/fsva/fsva/adapters/git/objects"
	"github.com/fsva/fsva/adapters/lru"
	"github.com/fsva/fsva/vfs"
)

// Options say what of a repository is served. Zero values mean the defaults.
type Options struct {
	// Revision is the one revision to serve; if it is empty, every ref is a
	// folder. See CheckRevision.
	Revision string

	// Dir is a directory for large blobs while they are read, which is made
	// if it is not there; default the system's for temporary files. Nothing
	// in it is to outlive the FS.
	Dir string
	// Spool bounds the bytes of large blobs on disk, and so the largest
	// blob that can be read; default 8 GiB.
	Spool int64

	// Look is how often refs are looked at, at most, for whether they have
	// moved; default one second.
	Look time.Duration

	Log zerolog.Logger
}

const (
	defaultSpool = 8 << 30
	defaultLook  = time.Second

	directoryBytes = 64 << 20 // of directories that are kept
	blobBytes      = 32 << 20 // of small blobs that are kept
	countsKept     = 1 << 19  // of trees; about 130 bytes each
	commitsKept    = 1 << 14
	loggedKept     = 1 << 10

	// smallBlob is the largest blob that is held in memory, in bytes.
	smallBlob = 1 << 20
)

// FS is a repository. It implements vfs.FS.
type FS struct {
	opt     Options
	repo    repository
	objects *objects.DB

	directories *lru.Cache[plumbing.Hash, *directory]
	counts      *lru.Cache[plumbing.Hash, uint64]
	commits     *lru.Cache[plumbing.Hash, *commit]
	blobs       *lru.Cache[plumbing.Hash, []byte]
	spool       *spool
	logged      *lru.Cache[string, struct{}] // objects that were complained of

	now  atomic.Pointer[snapshot]
	look sync.Mutex // held by who looks for new refs

	stop    context.CancelFunc // of the goroutine that tidies up
	stopped sync.WaitGroup
}

// Open opens the repository at path: a bare one, a checkout or a worktree. It
// must stay readable for the process, which writes nothing into it.
func Open(ctx context.Context, path string, opt Options) (*FS, error) {
	if opt.Spool == 0 {
		opt.Spool = defaultSpool
	}
	if opt.Look == 0 {
		opt.Look = defaultLook
	}
	repo, err := findRepository(path)
	if err != nil {
		return nil, fmt.Errorf("git repository %s: %w", path, err)
	}
	if opt.Dir != "" {
		if err := os.MkdirAll(opt.Dir, 0o700); err != nil {
			return nil, err
		}
	}
	f := &FS{
		opt: opt, repo: repo,
		directories: lru.New[plumbing.Hash](directoryBytes, (*directory).weight),
		counts:      lru.New[plumbing.Hash](countsKept, one[uint64]),
		commits:     lru.New[plumbing.Hash](commitsKept, one[*commit]),
		blobs:       lru.New[plumbing.Hash](blobBytes, func(b []byte) int64 { return int64(len(b)) }),
		spool:       newSpool(opt.Spool),
		logged:      lru.New[string](loggedKept, one[struct{}]),
	}
	if f.objects, err = objects.Open(repo.objects()); err != nil {
		return nil, fmt.Errorf("git repository %s: %w", path, err)
	}
	for _, err := range f.objects.Damage() {
		opt.Log.Warn().Err(err).Msg("a pack cannot be read; what is only in it will be missing")
	}
	s, err := f.read(ctx)
	if err != nil {
		f.objects.Close()
		return nil, fmt.Errorf("git repository %s: %w", path, err)
	}
	f.now.Store(s)
	tidy, stop := context.WithCancel(context.Background())
	f.stop = stop
	f.stopped.Go(func() { f.tidy(tidy) })
	return f, nil
}

// one weighs values that all weigh the same.
func one[V any](V) int64 { return 1 }

// tidyEvery is how often packs are looked for that git has removed, to close
// them.
const tidyEvery = time.Minute

func (f *FS) tidy(ctx context.Context) {
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := f.objects.Rescan(); err != nil {
				f.complain("the packs", err)
			}
		}
	}
}

// Root implements vfs.FS.
func (f *FS) Root() vfs.Node {
	if f.opt.Revision != "" {
		return f.node(ref(revisionKey(f.opt.Revision)))
	}
	return f.node(folder(folderKey("")))
}

// StatFS implements vfs.FS: the file system is full. What is in use are the
// packs, and of files those of the revision.
func (f *FS) StatFS(ctx context.Context) (vfs.StatFS, error) {
	s := vfs.StatFS{
		BlockSize: blockSize, TotalBytes: uint64(f.objects.Bytes()), TotalFiles: uint64(len(f.now.Load().refs)),
		MaxName: vfs.MaxName, MaxFileSize: uint64(f.opt.Spool), MaxLink: 1, TimeGranularity: 1e9,
	}
	if f.opt.Revision == "" {
		return s, nil
	}
	t, err := f.tip(ctx, revisionKey(f.opt.Revision))
	if err != nil {
		return s, err
	}
	top, err := f.directory(ctx, t.tree)
	if err == nil {
		s.TotalFiles = top.total
	}
	return s, err
}

// Caps implements vfs.FS. It is not Local: a read near the end of a large blob
// waits until all before is inflated.
func (f *FS) Caps() vfs.Caps { return vfs.Caps{ReadOnly: true} }

// WriteVerifier implements vfs.FS: no write is ever lost.
func (f *FS) WriteVerifier() uint64 { return 1 }

// Close implements vfs.FS.
func (f *FS) Close() error {
	f.stop()
	f.stopped.Wait()
	f.spool.close()
	return f.objects.Close()
}

var _ vfs.FS = (*FS)(nil)
