// Package dhcp gives the guests of a site their addresses: by DHCP (RFC 2131), by
// DHCPv6 (RFC 8415) and by router advertisements (RFC 4861).
//
// Nothing is leased. Each guest has one address of each family, which the site
// says, and is told it whenever it asks, whatever it claims to be: who it is says
// its MAC, to which the firewall holds it. So there is no state to keep, to fill
// up or to lose.
//
// A [Server] reads frames from the bridge itself (packet(7)) behind a filter in
// the kernel: no port of the host is opened, no other interface listened to, and
// each answer goes to one machine alone. What it does with a frame is a function
// of the site and the frame, which can be fuzzed:
//
//	frame.go   Ethernet, IP and UDP
//	table.go   who asks
//	four.go    DHCP
//	six.go     DHCPv6
//	router.go  router advertisements
package dhcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mdlayher/packet"
	"github.com/rs/zerolog"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/hostbridge/site"
)

// advertiseEvery is how often guests are told of the network unasked: as often as
// RFC 4861 §6.2.1 wants.
const advertiseEvery = 10 * time.Minute

// maxFrame bounds a question, in bytes. Longer ones are cut, and then malformed.
const maxFrame = 2048

// ErrGone ends a server whose bridge was removed or turned off.
var ErrGone = errors.New("is gone or down")

// Server answers the guests on one bridge.
type Server struct {
	bridge    string
	log       zerolog.Logger
	table     atomic.Pointer[table]
	four, six *packet.Conn
}

// Listen opens the bridge of a site, which is up. The answers begin with Serve.
func Listen(s *site.Site, log zerolog.Logger) (*Server, error) {
	ifi, err := net.InterfaceByName(s.Bridge)
	if err != nil {
		return nil, fmt.Errorf("bridge %s: %w", s.Bridge, err)
	}
	srv := &Server{bridge: s.Bridge, log: log}
	srv.Replace(s)
	if srv.four, err = open(ifi, unix.ETH_P_IP, questions4); err != nil {
		return nil, err
	}
	if srv.six, err = open(ifi, unix.ETH_P_IPV6, questions6); err != nil {
		return nil, errors.Join(err, srv.four.Close())
	}
	return srv, nil
}

func open(ifi *net.Interface, protocol int, filter []bpf.Instruction) (*packet.Conn, error) {
	program, err := bpf.Assemble(filter)
	if err != nil {
		return nil, err
	}
	c, err := packet.Listen(ifi, packet.Raw, protocol, &packet.Config{Filter: program})
	if err != nil {
		return nil, fmt.Errorf("listen on bridge %s: %w", ifi.Name, err)
	}
	return c, nil
}

// The filters let pass what may be a question, so that the traffic of the
// services costs nothing here.
var (
	questions4 = []bpf.Instruction{
		bpf.LoadAbsolute{Off: etherHeader, Size: 1}, // no options
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0x45, SkipTrue: 5},
		bpf.LoadAbsolute{Off: etherHeader + 9, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_UDP, SkipTrue: 3},
		bpf.LoadAbsolute{Off: etherHeader + ip4Header + 2, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: serverPort, SkipTrue: 1},
		bpf.RetConstant{Val: maxFrame},
		bpf.RetConstant{Val: 0},
	}
	questions6 = []bpf.Instruction{
		bpf.LoadAbsolute{Off: etherHeader + 6, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_UDP, SkipTrue: 3},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_ICMPV6, SkipTrue: 5},
		bpf.LoadAbsolute{Off: etherHeader + ip6Header, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 133, SkipTrue: 2, SkipFalse: 3}, // a router solicitation
		bpf.LoadAbsolute{Off: etherHeader + ip6Header + 2, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: serverPort6, SkipTrue: 1},
		bpf.RetConstant{Val: maxFrame},
		bpf.RetConstant{Val: 0},
	}
)

// Replace has the guests be told what another site of the same bridge says, from
// their next question on.
func (s *Server) Replace(next *site.Site) { s.table.Store(newTable(next)) }

// Serve answers until ctx ends, and then closes the server, or until the bridge
// is no more: then its error is ErrGone.
func (s *Server) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var readers sync.WaitGroup
	for _, c := range []*packet.Conn{s.four, s.six} {
		readers.Go(func() {
			if err := s.read(c); err != nil {
				cancel(err)
			}
		})
	}
	readers.Go(func() { s.advertise(ctx) })
	<-ctx.Done()
	err := errors.Join(s.four.Close(), s.six.Close())
	readers.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// read answers what one family asks, until its socket is closed or useless.
func (s *Server) read(c *packet.Conn) error {
	buf := make([]byte, maxFrame)
	for {
		n, _, err := c.ReadFrom(buf)
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case errors.Is(err, unix.ENETDOWN):
			return fmt.Errorf("bridge %s %w", s.bridge, ErrGone)
		case err != nil:
			return fmt.Errorf("bridge %s: %w", s.bridge, err)
		}
		d, from := s.table.Load().answer(buf[:n], time.Now())
		if d == nil {
			continue
		}
		s.send(c, d)
		if !from.told.Swap(true) {
			s.log.Info().Str("guest", from.Name).Stringer("address", from.IP4).Msg("asks for its addresses, and is told")
		}
	}
}

// send is best effort, as networks are: who hears nothing asks again.
func (s *Server) send(c *packet.Conn, d *datagram) {
	if _, err := c.WriteTo(d.frame(), &packet.Addr{HardwareAddr: d.to}); err != nil && !errors.Is(err, net.ErrClosed) {
		s.log.Debug().Err(err).Stringer("to", d.to).Msg("an answer is lost")
	}
}

// advertise tells all guests of the network, now and again until ctx ends.
func (s *Server) advertise(ctx context.Context) {
	again := time.NewTicker(advertiseEvery)
	defer again.Stop()
	for {
		if t := s.table.Load(); t.IPv6() {
			for _, c := range t.clients {
				if d := t.advertisement(c); d != nil {
					s.send(s.six, d)
				}
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
	}
}
