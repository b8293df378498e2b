package boot

import (
	"context"
	"net"

	"github.com/rs/zerolog"

	"github.com/fsva/fsva/cmd/appliance/config"
	"github.com/fsva/fsva/server/admin"
)

// health answers at the control address in the place of appliance serve.
type health struct {
	server *admin.Server
	done   chan struct{}
}

// tellHealth has the control address say why nothing is served. The health is
// never nil.
func tellHealth(address string, reasons []string) (*health, error) {
	h := &health{}
	if address == config.Off || address == "" {
		return h, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return h, err
	}
	h.server = admin.New(admin.Config{
		Health:  func() []string { return reasons },
		Status:  func() admin.Status { return admin.Status{PID: 1, NFS: config.Off, Admin: address} },
		Exports: func(context.Context) []admin.Export { return nil },
		Log:     zerolog.Nop(),
	})
	h.done = make(chan struct{})
	go func() {
		defer close(h.done)
		_ = h.server.Serve(l) // ends by close
	}()
	return h, nil
}

// close makes the address free.
func (h *health) close() {
	if h.server == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // answers under way are short, and their askers ask again
	_ = h.server.Shutdown(ctx)
	<-h.done
}
