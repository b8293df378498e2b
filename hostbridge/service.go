package hostbridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

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
}

// Start brings a site up as Up does, and listens on its bridge. What is up stays
// so whatever becomes of the service.
func Start(s *site.Site, log zerolog.Logger, done func(change.Change)) (*Service, error) {
	if os.Geteuid() != 0 {
		return nil, ErrNotRoot
	}
	hold, err := link.HoldService(journalDir, s.Bridge)
	if err != nil {
		return nil, fmt.Errorf("%w; one is enough, reload it to have it read the file anew", err)
	}
	v := &Service{bridge: s.Bridge, hold: hold}
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
	if err := Up(s, done); err != nil {
		return err
	}
	v.answers.Replace(s)
	return nil
}

// Serve answers until ctx ends, or until the bridge is gone, and ends the
// service.
func (v *Service) Serve(ctx context.Context) error {
	return errors.Join(v.answers.Serve(ctx), v.hold.Close())
}
