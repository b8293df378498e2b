package p9

import (
	"context"
	"sync"
	"time"
)

// Patience is how long a request that may take long keeps others on its
// connection waiting: at least patience, and less than twice that. Most such
// requests are done by then, and another thread need not wake up to read on,
// which costs as much as a small request.
const patience = time.Millisecond

// idleTicks is how often a watch looks in vain before it sleeps.
const idleTicks = 100

// watch has reading handed over by loops whose request takes long. A timer for
// each request would do the same, but costs more than most requests.
type watch struct {
	wake chan struct{} // has room for one

	mu     sync.Mutex // guards what follows; a leaf
	loops  []*loop    // each knows its place
	tick   uint64
	asleep bool
}

func newWatch() *watch { return &watch{wake: make(chan struct{}, 1), asleep: true} }

// add begins to watch a loop.
func (w *watch) add(l *loop) {
	w.mu.Lock()
	l.place, l.since = len(w.loops), w.tick
	w.loops = append(w.loops, l)
	wake := w.asleep
	w.asleep = false
	w.mu.Unlock()
	if wake {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// remove ends that.
func (w *watch) remove(l *loop) {
	w.mu.Lock()
	defer w.mu.Unlock()
	last := len(w.loops) - 1
	w.loops[l.place] = w.loops[last]
	w.loops[l.place].place = l.place
	w.loops[last] = nil
	w.loops = w.loops[:last]
}

// run watches until ctx ends.
func (w *watch) run(ctx context.Context) {
	ticker := time.NewTicker(patience)
	defer ticker.Stop()
	idle := 0
	var late []*loop
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		late = w.overdue(late[:0])
		for _, l := range late {
			l.overdue()
		}
		if idle++; len(late) > 0 {
			idle = 0
		}
		if idle < idleTicks || !w.sleep() {
			continue
		}
		idle = 0
		ticker.Stop()
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
			ticker.Reset(patience)
		}
	}
}

// overdue appends the loops that have been watched for longer than patience.
func (w *watch) overdue(late []*loop) []*loop {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tick++
	for _, l := range w.loops {
		if w.tick-l.since == 2 {
			late = append(late, l)
		}
	}
	return late
}

// sleep reports whether there is nothing to watch; then add sends to wake.
func (w *watch) sleep() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asleep = len(w.loops) == 0
	return w.asleep
}
