// Package away stands in for a file system that lies elsewhere and does not
// answer when the appliance starts. Guests that have mounted it must find it
// again under the same handles when it is back, and guests of other exports
// need not wait for it.
//
// Until it comes, everything in it fails: with EAGAIN for the first minute,
// which NFS clients take for a server that needs time (NFS4ERR_DELAY, RFC 8881
// §15.1.1.3) and so keep what they have open, and with EIO after that, so that
// nobody waits for ever.
package away

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/fsva/fsva/vfs"
)

const (
	// patience is how long guests are told to come again.
	patience = time.Minute
	// The file system is asked for again after firstWait, and then after
	// twice as long each time, up to lastWait.
	firstWait = 2 * time.Second
	lastWait  = time.Minute
)

// FS is a file system that is not there.
type FS struct {
	log      zerolog.Logger
	since    time.Time
	reason   atomic.Pointer[error]
	verifier uint64

	ctx    context.Context // until Close
	stop   context.CancelFunc
	trying sync.WaitGroup
}

// New stands in for what cannot be opened because of reason.
func New(reason error, log zerolog.Logger) *FS {
	now := time.Now()
	f := &FS{log: log, since: now, verifier: uint64(now.UnixNano())}
	f.ctx, f.stop = context.WithCancel(context.Background())
	f.reason.Store(&reason)
	log.Error().Err(reason).Msg("the file system does not answer; guests of the export wait, and then get errors, until it does")
	return f
}

// Await calls open again and again until it succeeds, and then arrived, which
// owns the file system from then on. It returns at once, and is called once.
func (f *FS) Await(open func(context.Context) (vfs.FS, error), arrived func(vfs.FS)) {
	f.trying.Go(func() {
		for wait := firstWait; ; wait = min(2*wait, lastWait) {
			select {
			case <-f.ctx.Done():
				return
			case <-time.After(wait):
			}
			fs, err := open(f.ctx)
			if err == nil {
				f.log.Info().Msg("the file system answers")
				arrived(fs)
				return
			}
			if before := f.reason.Swap(&err); (*before).Error() != err.Error() {
				f.log.Error().Err(err).Msg("the file system still does not answer")
			}
		}
	})
}

// fail is what every call returns.
func (f *FS) fail() error {
	code := vfs.EIO
	if time.Since(f.since) < patience {
		code = vfs.EAGAIN
	}
	return vfs.Errorf(code, "the file system does not answer: %v", *f.reason.Load())
}

// Root implements vfs.FS.
func (f *FS) Root() vfs.Node { return node{f} }

// Resolve implements vfs.FS.
func (f *FS) Resolve(context.Context, []byte) (vfs.Node, error) { return nil, f.fail() }

// StatFS implements vfs.FS.
func (f *FS) StatFS(context.Context) (vfs.StatFS, error) { return vfs.StatFS{}, f.fail() }

// Caps implements vfs.FS.
func (f *FS) Caps() vfs.Caps { return vfs.Caps{} }

// WriteVerifier implements vfs.FS.
func (f *FS) WriteVerifier() uint64 { return f.verifier }

// Close implements vfs.FS. After it nothing is asked for any more, and arrived,
// which must not call it, is not running.
func (f *FS) Close() error {
	f.stop()
	f.trying.Wait()
	return nil
}
