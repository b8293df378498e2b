package cli

import (
	"context"
	"slices"

	"github.com/fsva/fsva/adapters"
	"github.com/fsva/fsva/adapters/away"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/export"
)

// await waits, beside everything else, for file systems that did not answer at
// the start.
func (x *exportSet) await() {
	for i, s := range x.served {
		absent, ok := s.FS.(*away.FS)
		if !ok {
			continue
		}
		spec, _ := x.cfg.Exports[i].Spec() // prepare has seen to it
		env := x.env(s.ID, &spec)
		open := func(ctx context.Context) (vfs.FS, error) { return adapters.Open(ctx, spec.URL, env) }
		absent.Await(open, func(fs vfs.FS) { x.arrive(absent, fs) })
	}
}

// arrive serves fs where absent has stood in for it.
func (x *exportSet) arrive(absent *away.FS, fs vfs.FS) {
	x.changing.Lock()
	defer x.changing.Unlock()
	x.mu.Lock()
	next := slices.Clone(x.served)
	x.mu.Unlock()
	at := slices.IndexFunc(next, func(s served) bool { return s.FS == absent })
	if at < 0 { // removed, or the appliance ends
		if err := fs.Close(); err != nil {
			x.log.Error().Err(err).Msg("cannot close a file system that nobody awaits any more")
		}
		return
	}
	// By the rules of now, which a reload may have changed.
	spec, err := x.cfg.Spec(x.cfg.Export(next[at].Name))
	if err != nil {
		x.log.Error().Err(err).Msg("the file system answers, and guests that its export names are not admitted")
	}
	next[at].Export = export.New(next[at].ID, spec, fs)
	list := make([]*export.Export, len(next))
	for i, s := range next {
		list[i] = s.Export
	}
	if err := x.table.Replace(list); err != nil { // of the same names and numbers
		x.log.Error().Err(err).Msg("cannot serve the file system that answers")
		return
	}
	x.mu.Lock()
	x.served = next
	x.mu.Unlock()
}
