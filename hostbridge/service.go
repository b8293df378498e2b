package hostbridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/fsva/fsva/hostbridge/change"
	"github.com/fsva/fsva/hostbridge/dhcp"
	"github.com/fsva/fsva/hostbridge/link"
	"github.com/fsva/fsva/hostbridge/site"
)

// Service keeps the site of one bridge, and tells the guests on it their
// addresses. There is one for a bridge at a time.
type Service struct {
	bridge  string
	hold    io.Closer
	answers *dhcp.Server
	log     zerolog.Logger
	done    func(change.Change)

	mu   sync.Mutex // held while the site, or what is there of it, changes
	site *site.Site
}

// Start brings a site up as Up does, and listens on its bridge. What is up stays
// so whatever becomes of the service. done is told of changes, later ones too.
func Start(s *site.Site, log zerolog.Logger, done func(change.Change)) (*Service, error) {
	if os.Geteuid() != 0 {
		return nil, ErrNotRoot
	}
	hold, err := link.HoldService(journalDir, s.Bridge)
	if err != nil {
		return nil, fmt.Errorf("%w; one is enough, reload it to have it read the file anew", err)
	}
	v := &Service{bridge: s.Bridge, hold: hold, log: log, done: done, site: s}
	if err = Up(s, done); err == nil {
		v.answers, err = dhcp.Listen(s, log)
	}
	if err != nil {
		return nil, errors.Join(err, hold.Close())
	}
	return v, nil
}

// Change brings another site of the same bridge up, whose guests are answered
// from then on.
func (v *Service) Change(s *site.Site, done func(change.Change)) error {
	if s.Bridge != v.bridge {
		return fmt.Errorf("the bridge is %s now and was %s: stop the service, run host down --bridge %s, and start it anew", s.Bridge, v.bridge, v.bridge)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := Up(s, done); err != nil {
		return err
	}
	v.site = s
	v.answers.Replace(s)
	return nil
}

// Serve answers, and confines ports that others make, until ctx ends or until the
// bridge is gone, and ends the service.
func (v *Service) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	answered := make(chan error, 1)
	go func() {
		defer cancel()
		answered <- v.answers.Serve(ctx)
	}()
	v.keep(ctx)
	return errors.Join(<-answered, v.hold.Close())
}

// tryAgain is how soon ports are looked at again that could not be confined. They
// may be gone, or changing while they were looked at.
const tryAgain = time.Second

// keep confines ports that others make, until ctx ends.
func (v *Service) keep(ctx context.Context) {
	for ctx.Err() == nil {
		if err := v.follow(ctx); err != nil && ctx.Err() == nil {
			v.log.Warn().Err(err).Msg("ports that others make may not be confined yet; trying again")
		}
		select {
		case <-ctx.Done():
		case <-time.After(tryAgain):
		}
	}
}

// follow does so until something goes wrong.
func (v *Service) follow(ctx context.Context) error {
	w, err := link.NewWatch(v.bridge)
	if err != nil {
		return err
	}
	defer w.Close()
	for {
		if err := v.confine(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-w.Changed:
			if !ok {
				return errors.New("missed what became of them")
			}
		}
	}
}

// confine does so for those that are there. All else of the site is left as it
// is: whoever changed it may have a newer file.
func (v *Service) confine() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	changes, err := link.Confine(v.site)
	if err != nil {
		return err
	}
	return apply(changes, v.done)
}
