package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fsva/fsva/cmd/appliance/config"
)

// reload serves the exports of cfg, and beside them those that were added at
// run time, unless cfg has their names.
func (x *exportSet) reload(ctx context.Context, cfg *config.Config) error {
	x.changing.Lock()
	defer x.changing.Unlock()
	added := slices.DeleteFunc(slices.Clone(x.added), func(e config.Export) bool { return cfg.Export(nameOf(e)) >= 0 })
	next := *cfg
	next.Exports = append(slices.Clone(cfg.Exports), added...)
	if err := x.apply(ctx, &next); err != nil {
		return err
	}
	x.added = added
	return nil
}

// add serves one more export, given in the form of the flag, until the
// appliance ends.
func (x *exportSet) add(ctx context.Context, text string) error {
	e := config.ExportFlag(text)
	spec, err := e.Spec()
	if err != nil {
		return err
	}
	x.changing.Lock()
	defer x.changing.Unlock()
	if x.cfg.Export(spec.Name) >= 0 {
		return fmt.Errorf("there is an export %s already; remove that one first, or choose another name", spec.Name)
	}
	next := *x.cfg
	next.Exports = append(slices.Clone(x.cfg.Exports), e)
	if err := x.apply(ctx, &next); err != nil {
		return err
	}
	x.added = append(x.added, e)
	return nil
}

// remove serves an export no longer. Guests that use it get ESTALE.
func (x *exportSet) remove(ctx context.Context, name string) error {
	x.changing.Lock()
	defer x.changing.Unlock()
	at := x.cfg.Export(name)
	if at < 0 {
		return fmt.Errorf("there is no export %s", name)
	}
	next := *x.cfg
	next.Exports = slices.Delete(slices.Clone(x.cfg.Exports), at, at+1)
	if err := x.apply(ctx, &next); err != nil {
		return err
	}
	x.added = slices.DeleteFunc(x.added, func(e config.Export) bool { return nameOf(e) == name })
	return nil
}

// nameOf returns the name of an export that was checked.
func nameOf(e config.Export) string {
	spec, _ := e.Spec()
	return spec.Name
}

const (
	revokeEvery = 50 * time.Millisecond // requests under way may yet open files
	retireSoon  = 10 * time.Second      // what takes longer is worth a line in the log
)

// awaitClosed waits until what was exported by that number is closed: it may be
// the same directory, of which handles and locks must not be mixed up.
func (x *exportSet) awaitClosed(ctx context.Context, id uint32) error {
	x.mu.Lock()
	closed := x.leaving[id]
	x.mu.Unlock()
	if closed == nil {
		return nil
	}
	select {
	case <-closed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(retireSoon):
		return errors.New("it was removed, and requests are still under way in it; try again later")
	}
}

// retire closes a file system that is served no longer, as soon as no request
// is under way in it. What clients have open there is taken from them.
func (x *exportSet) retire(old served) {
	log := x.log.With().Str("export", old.Name).Str("url", old.url).Logger()
	idle := old.Retire()
	again := time.NewTicker(revokeEvery)
	defer again.Stop()
	late := time.After(retireSoon)
	for done := false; !done; {
		x.revoke(x.ctx, old.Export)
		select {
		case <-idle:
			done = true
		case <-x.ctx.Done():
			done = true // no server runs any more
		case <-late:
			log.Warn().Msg("requests are still under way in the removed export; its file system stays open until they end")
		case <-again.C:
		}
	}
	if err := old.FS.Close(); err != nil {
		log.Error().Err(err).Msg("cannot close the file system of the removed export")
		return
	}
	log.Info().Msg("file system of the removed export is closed")
}
