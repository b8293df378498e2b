package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/fsva/fsva/tests/nfs41"
	"golang.org/x/sync/errgroup"
)

// scaleLimit is the memory a server may take for all of it.
const scaleLimit = 1 << 30

// A scaleResult is a server's memory under many clients and open files.
type scaleResult struct {
	Server  string `json:"server"`
	Clients int    `json:"clients"`
	Opens   int    `json:"open_files"`
	Start   int64  `json:"rss_before"`
	Idle    int64  `json:"rss_clients"`
	Full    int64  `json:"rss_clients_and_opens"`

	ClientsTime time.Duration `json:"clients_ns"`
	OpensTime   time.Duration `json:"opens_ns"`
}

func (rep *report) measureScale(ctx context.Context, cfg config, servers []*server) error {
	for _, s := range servers {
		progress("scale ", s.name)
		r, err := measureScale(ctx, cfg, s)
		progress()
		if err == nil {
			rep.Scale = append(rep.Scale, r)
			continue
		}
		if s.name == "fsva" {
			return fmt.Errorf("scale: %w", err)
		}
		fmt.Fprintf(os.Stderr, "scale: %s does not get there: %v\n", s.name, err)
	}
	return nil
}

// measureScale connects the clients, opens the files, and at the end asks
// every client for a sign of life.
func measureScale(ctx context.Context, cfg config, srv *server) (r *scaleResult, err error) {
	r = &scaleResult{Server: srv.name, Clients: cfg.clients, Opens: cfg.opens}
	if r.Start, err = srv.rss(); err != nil {
		return nil, err
	}
	clients := make([]*nfs41.Session, cfg.clients)
	defer func() {
		err = errors.Join(err, closeAll(clients))
	}()
	start := time.Now()
	err = each(ctx, cfg.clients, func(i int) (err error) {
		// 10,000 clients from each of the loopback network's addresses,
		// fewer than it has ephemeral ports, and than the server takes.
		local := fmt.Sprintf("127.1.%d.1", i/10_000)
		clients[i], err = nfs41.Mount(srv.addr, nfs41.Config{Slots: 1, LocalIP: local, ReadBuffer: 512})
		return err
	})
	if err != nil {
		return nil, err
	}
	r.ClientsTime = time.Since(start)
	if r.Idle, err = srv.rss(); err != nil {
		return nil, err
	}
	if err := r.openFiles(ctx, srv); err != nil {
		return nil, err
	}
	return r, each(ctx, cfg.clients, func(i int) error { return clients[i].Do() })
}

// openFiles holds files open while it takes the memory.
func (r *scaleResult) openFiles(ctx context.Context, srv *server) (err error) {
	s, err := nfs41.Mount(srv.addr, nfs41.Config{})
	if err != nil {
		return err
	}
	defer s.Disconnect()
	dir, err := s.Walk("data", dirName(r.Opens))
	if err != nil {
		return err
	}
	files := make([]*file, r.Opens)
	start := time.Now()
	err = each(ctx, r.Opens, func(i int) (err error) {
		files[i], err = openFile(s, dir, fmt.Sprint(i), "bench")
		return err
	})
	if err != nil {
		return err
	}
	r.OpensTime = time.Since(start)
	if r.Full, err = srv.rss(); err != nil {
		return err
	}
	if err := each(ctx, r.Opens, func(i int) error { return files[i].close() }); err != nil {
		return err
	}
	return s.Close()
}

// each calls f for every number below n, 32 at a time.
func each(ctx context.Context, n int, f func(i int) error) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(32)
	for i := 0; i < n && gctx.Err() == nil; i++ {
		g.Go(func() error { return f(i) })
	}
	return cmp.Or(g.Wait(), ctx.Err())
}

func closeAll(clients []*nfs41.Session) error {
	return each(context.Background(), len(clients), func(i int) error {
		if clients[i] == nil {
			return nil
		}
		return clients[i].Close()
	})
}
