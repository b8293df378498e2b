package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fsva/fsva/tests/nfs41"
)

// A worker is one of the load's callers, with a slot of its own.
type worker struct {
	id int
	*nfs41.Slot
	s    *nfs41.Session
	root nfs41.FH // of the export
	home nfs41.FH // the directory of this server's clients
}

func (w *worker) owner() string { return fmt.Sprint("bench ", w.id) }

// A task is a workload of one worker: step is measured, end is not.
type task struct {
	step func() error
	end  func() error
}

// A round is one measurement.
type round struct {
	Ops  int           `json:"ops"`
	Time time.Duration `json:"time_ns"`
	CPU  time.Duration `json:"server_cpu_ns"`
	P50  time.Duration `json:"p50_ns"`
	P99  time.Duration `json:"p99_ns"`
}

// measure runs the workload for the time of a round.
func measure(ctx context.Context, srv *server, wl workload, l load, d time.Duration) (r round, err error) {
	s, err := nfs41.Mount(srv.addr, nfs41.Config{Conns: l.Conns, Slots: uint32(l.Depth)})
	if err != nil {
		return r, err
	}
	defer s.Disconnect()
	workers, tasks, err := prepare(s, srv, wl, l)
	if err != nil {
		return r, err
	}
	warm := min(d/4, 100*time.Millisecond)
	if _, err := drive(ctx, tasks, warm); err != nil {
		return r, err
	}
	before, err := srv.cpu()
	if err != nil {
		return r, err
	}
	start := time.Now()
	lat, err := drive(ctx, tasks, d)
	if err != nil {
		return r, err
	}
	r.Time = time.Since(start)
	after, err := srv.cpu()
	if err != nil {
		return r, err
	}
	r.CPU = after - before
	r.Ops = len(lat)
	slices.Sort(lat)
	r.P50, r.P99 = lat[len(lat)/2], lat[len(lat)*99/100]
	for _, t := range tasks {
		if t.end == nil {
			continue
		}
		if err := t.end(); err != nil {
			return r, err
		}
	}
	for _, w := range workers {
		w.Release()
	}
	return r, s.Close()
}

func prepare(s *nfs41.Session, srv *server, wl workload, l load) ([]*worker, []task, error) {
	root, err := s.Walk("data")
	if err != nil {
		return nil, nil, err
	}
	home, err := s.Walk("data", srv.name)
	if err != nil {
		return nil, nil, err
	}
	if n := int(min(s.Fore.MaxRequests, 1<<16)); n < l.Depth {
		return nil, nil, fmt.Errorf("the server grants %d slots, not %d", n, l.Depth)
	}
	var workers []*worker
	var tasks []task
	for i := range l.Depth {
		w := &worker{id: i, Slot: s.Slot(), s: s, root: root, home: home}
		t, err := wl.prepare(w)
		if err != nil {
			return nil, nil, err
		}
		workers = append(workers, w)
		tasks = append(tasks, t)
	}
	return workers, tasks, nil
}

// drive has every task do steps until d is over, at least one, and returns how
// long each took.
func drive(ctx context.Context, tasks []task, d time.Duration) ([]time.Duration, error) {
	var (
		wg   sync.WaitGroup
		lats = make([][]time.Duration, len(tasks))
		errs = make([]error, len(tasks))
		end  = time.Now().Add(d)
	)
	for i, t := range tasks {
		wg.Go(func() {
			lat := make([]time.Duration, 0, 1<<14)
			for now := time.Now(); ctx.Err() == nil && (now.Before(end) || len(lat) == 0); {
				if errs[i] = t.step(); errs[i] != nil {
					return
				}
				done := time.Now()
				lat = append(lat, done.Sub(now))
				now = done
			}
			lats[i] = lat
		})
	}
	wg.Wait()
	for _, err := range append(errs, ctx.Err()) {
		if err != nil {
			return nil, err
		}
	}
	return slices.Concat(lats...), nil
}
