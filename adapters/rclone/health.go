package rclone

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rclone/rclone/fs"
	"github.com/rs/zerolog"
)

// health knows whether the remote answers, and says so in the log with one line
// for each change. A call that fails is only a suspicion: a look at the root
// decides, so that what is wrong with one file alone does not count.
type health struct {
	log  zerolog.Logger
	look func(context.Context) error // at the root of the remote

	mu      sync.Mutex
	looking bool // a goroutine looks until the remote answers
	sick    bool
	closed  bool

	ctx    context.Context
	cancel context.CancelFunc
	done   sync.WaitGroup
}

const (
	lookLimit = 10 * time.Second
	lookPause = 5 * time.Second
)

func newHealth(log zerolog.Logger, look func(context.Context) error) *health {
	h := &health{log: log, look: look}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	return h
}

// saw takes the error of a request to the remote, which may be nil.
func (h *health) saw(err error) {
	if err != nil && !gone(err) && !errors.Is(err, context.Canceled) {
		h.failed(err)
	}
}

// failed has the remote looked at.
func (h *health) failed(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.looking || h.closed {
		return
	}
	h.looking = true
	h.done.Go(h.watch)
}

func (h *health) down() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sick
}

// watch looks until the remote answers.
func (h *health) watch() {
	for {
		err := h.lookOnce()
		if h.ctx.Err() != nil {
			return
		}
		h.note(err)
		if err == nil {
			return
		}
		select {
		case <-h.ctx.Done():
			return
		case <-time.After(lookPause):
		}
	}
}

// lookOnce waits no longer than lookLimit, also where rclone does.
func (h *health) lookOnce() error {
	ctx, cancel := context.WithTimeout(h.ctx, lookLimit)
	defer cancel()
	result := make(chan error, 1)
	go func() { result <- h.look(ctx) }()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return errors.New("no answer within " + lookLimit.String())
	}
}

func (h *health) note(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.looking = err != nil
	switch {
	case err != nil && !h.sick:
		h.log.Error().Str("reason", hide(err)).Msg("the remote fails; what is in the cache is served, all else is EIO until it answers")
	case err == nil && h.sick:
		h.log.Info().Msg("the remote answers again")
	}
	h.sick = err != nil
}

func (h *health) close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.cancel()
	h.done.Wait()
}

var errEnough = errors.New("seen enough")

// lookAtRoot asks a remote for the first entries of its root.
func lookAtRoot(f fs.Fs) func(context.Context) error {
	return func(ctx context.Context) error {
		err := errors.ErrUnsupported
		if list := f.Features().ListP; list != nil {
			err = list(ctx, "", func(fs.DirEntries) error { return errEnough })
		}
		if errors.Is(err, errors.ErrUnsupported) {
			_, err = f.List(ctx, "")
		}
		if errors.Is(err, errEnough) {
			err = nil
		}
		return err
	}
}
