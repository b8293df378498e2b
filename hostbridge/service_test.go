package hostbridge

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/mdlayher/ndp"
	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/hostbridge/change"
	"github.com/fsva/fsva/hostbridge/dhcp"
	"github.com/fsva/fsva/hostbridge/site"
)

func ignore(change.Change) {}

// serveStage is a stage whose guests are told their addresses. Cancelling ends
// that, and ended has its error then.
func serveStage(t *testing.T) (st *stage, v *Service, cancel context.CancelFunc, ended chan error) {
	t.Helper()
	st = newStage(t)
	v, cancel, ended = serve(t, st.Site, ignore)
	return st, v, cancel, ended
}

// serve starts a service, and tells done what it changes.
func serve(t *testing.T, s *site.Site, done func(change.Change)) (v *Service, cancel context.CancelFunc, ended chan error) {
	t.Helper()
	v, err := Start(s, zerolog.New(zerolog.NewTestWriter(t)), done)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended = make(chan error, 1)
	beside(t, func() { ended <- v.Serve(ctx); close(ended) })
	t.Cleanup(func() {
		cancel()
		for range ended { // nothing logs after the test
		}
	})
	return v, cancel, ended
}

var (
	nobody4    = netip.IPv4Unspecified()
	everybody4 = netip.MustParseAddr("255.255.255.255")
	allServers = netip.MustParseAddr("ff02::1:2")
)

// dhcp4 is a question of DHCP as the guest asks it before it has an address.
func (p *port) dhcp4(with ...dhcpv4.Modifier) []byte {
	p.t.Helper()
	m, err := dhcpv4.New(append([]dhcpv4.Modifier{dhcpv4.WithHwAddr(p.MAC)}, with...)...)
	if err != nil {
		p.t.Fatal(err)
	}
	return ethernet(broadcast, p.MAC, unix.ETH_P_IP, ip4(nobody4, everybody4, unix.IPPROTO_UDP, udp(nobody4, everybody4, 68, 67, m.ToBytes())))
}

// asked sends a question until something comes that is taken for an answer.
func (p *port) asked(question []byte, isAnswer func(frame []byte) bool) {
	p.t.Helper()
	for range 10 {
		p.send(question)
		for f := p.receive(3 * time.Second); f != nil; f = p.receive(3 * time.Second) {
			if isAnswer(f) {
				return
			}
		}
	}
	p.t.Fatalf("%s is not answered", p.Name)
}

// fromServer4 reads an answer of DHCP.
func fromServer4(f []byte) *dhcpv4.DHCPv4 {
	if len(f) < 42 || f[12] != 8 || f[13] != 0 || f[23] != unix.IPPROTO_UDP || binary.BigEndian.Uint16(f[34:]) != 67 {
		return nil
	}
	m, err := dhcpv4.FromBytes(f[42:])
	if err != nil {
		return nil
	}
	return m
}

func TestGuestIsToldItsAddressAndTheOtherHearsNothing(t *testing.T) {
	st, _, _, _ := serveStage(t)
	for _, kind := range []dhcpv4.MessageType{dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest} {
		question := st.one.dhcp4(dhcpv4.WithMessageType(kind), dhcpv4.WithBroadcast(true), dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(st.one.IP4.AsSlice())))
		st.one.asked(question, func(f []byte) bool {
			m := fromServer4(f)
			return m != nil && m.YourIPAddr.Equal(st.one.IP4.AsSlice()) && bytes.Equal(f[:6], st.one.MAC)
		})
	}
	st.one.asked(st.one.dhcp4(dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest), dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(st.two.IP4.AsSlice()))), func(f []byte) bool {
		m := fromServer4(f)
		return m != nil && m.MessageType() == dhcpv4.MessageTypeNak
	})
	for _, f := range st.two.others(st) {
		if fromServer4(f) != nil || bytes.Contains(f, st.one.MAC) {
			t.Errorf("the other guest hears %x", f)
		}
	}
}

func TestGuestIsAnsweredOverIPv6(t *testing.T) {
	st, _, _, _ := serveStage(t)
	one := st.one
	m, err := dhcpv6.NewSolicit(one.MAC, dhcpv6.WithRapidCommit)
	if err != nil {
		t.Fatal(err)
	}
	question := ethernet([]byte{0x33, 0x33, 0, 1, 0, 2}, one.MAC, unix.ETH_P_IPV6, ip6(one.LinkLocal, allServers, unix.IPPROTO_UDP, 1, udp(one.LinkLocal, allServers, 546, 547, m.ToBytes())))
	one.asked(question, func(f []byte) bool {
		if len(f) < 62 || f[12] != 0x86 || f[20] != unix.IPPROTO_UDP {
			return false
		}
		reply, err := dhcpv6.MessageFromBytes(f[62:])
		return err == nil && reply.MessageType == dhcpv6.MessageTypeReply && reply.Options.OneIANA().Options.OneAddress().IPv6Addr.Equal(one.IP6.AsSlice())
	})
	routers := netip.MustParseAddr("ff02::2")
	solicit, err := ndp.MarshalMessageChecksum(&ndp.RouterSolicitation{}, one.LinkLocal, routers)
	if err != nil {
		t.Fatal(err)
	}
	one.asked(ethernet([]byte{0x33, 0x33, 0, 0, 0, 2}, one.MAC, unix.ETH_P_IPV6, ip6(one.LinkLocal, routers, unix.IPPROTO_ICMPV6, 255, solicit)), func(f []byte) bool {
		if len(f) < 62 || f[12] != 0x86 || f[20] != unix.IPPROTO_ICMPV6 || f[54] != 134 {
			return false
		}
		ra, err := ndp.ParseMessage(f[54:])
		return err == nil && ra.(*ndp.RouterAdvertisement).RouterLifetime == 0
	})
}

// While the host answers questions, a lie of one guest reaches neither the other
// nor gets an answer.
func TestGuestCannotLieToTheServiceEither(t *testing.T) {
	st, _, _, _ := serveStage(t)
	for name, frame := range lies(st) {
		if strings.HasPrefix(name, "DHCP: a question to all") {
			continue // no lie, and malformed: that it is not heard by the other is above
		}
		st.one.send(frame)
		for who, p := range map[string]*port{"the other guest": st.two, "itself": st.one} {
			for _, f := range p.others(st) {
				if len(f) > 54 && f[12] == 0x86 && f[54] == 134 && bytes.Equal(f[6:12], st.Host.MAC) {
					continue // the host tells of the network
				}
				t.Errorf("%s: %s receives %x", name, who, f)
			}
		}
	}
}

func TestReloadTellsTheNewAddress(t *testing.T) {
	st, v, _, _ := serveStage(t)
	moved := read(t, strings.Replace(twoGuests, "10.77.0.11", "10.77.0.33", 1))
	if err := v.Change(moved, ignore); err != nil {
		t.Fatal(err)
	}
	st.one.asked(st.one.dhcp4(dhcpv4.WithMessageType(dhcpv4.MessageTypeDiscover)), func(f []byte) bool {
		m := fromServer4(f)
		return m != nil && m.YourIPAddr.String() == "10.77.0.33"
	})
	other := read(t, strings.NewReplacer("br-t", "br-u", "10.77.0", "10.78.0", "fd77:1", "fd78:1").Replace(twoGuests))
	if err := v.Change(other, ignore); err == nil || !strings.Contains(err.Error(), "--bridge br-t") {
		t.Errorf("another bridge: %v", err)
	}
}

func TestOneServiceForABridgeWhichKeepsItUp(t *testing.T) {
	st, _, cancel, ended := serveStage(t)
	if _, err := Start(st.Site, zerolog.Nop(), ignore); err == nil || !strings.Contains(err.Error(), "appliance host serve runs for it") {
		t.Errorf("a second one: %v", err)
	}
	if err := Down("br-t", false, ignore); err == nil || !strings.Contains(err.Error(), "stop that first") {
		t.Errorf("down: %v", err)
	}
	if err := Up(st.Site, ignore); err != nil {
		t.Errorf("up beside it: %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if again := up(t, st.Site); again != "" {
		t.Errorf("its end has taken:\n%s", again)
	}
}

func TestServiceEndsWithItsBridge(t *testing.T) {
	_, _, _, ended := serveStage(t)
	down(t, "br-t")
	if err := <-ended; !errors.Is(err, dhcp.ErrGone) {
		t.Error(err)
	}
}

// A toolstack makes a guest's interface when it starts the guest, which is long
// after the bridge was made, or after the guest was added to the file.
func TestServiceConfinesWhatOthersPutOnTheBridge(t *testing.T) {
	external := strings.Replace(twoGuests, "address: 10.77.0.12", "address: 10.77.0.12, tap: vif7, external: true", 1)
	for name, start := range map[string]string{"from the start": external, "after a reload": twoGuests} {
		t.Run(name, func(t *testing.T) {
			enter(t)
			changed := make(chan change.Change, 64)
			v, _, _ := serve(t, read(t, start), func(c change.Change) { changed <- c })
			s := read(t, external)
			if err := v.Change(s, ignore); err != nil {
				t.Fatal(err)
			}
			for _, command := range []string{"ip tuntap add vif7 mode tap", "ip link set vif7 master br-t", "ip link set vif7 up"} {
				if err := ip(command); err != nil {
					t.Fatal(err)
				}
			}
			for hang := time.After(30 * time.Second); ; {
				select {
				case c := <-changed:
					if c.Thing != "tap vif7" {
						continue // of the start
					}
				case <-hang:
					t.Error("vif7 is left as it is")
				}
				break
			}
			left, err := Plan(s)
			if err != nil {
				t.Fatal(err)
			}
			for i := range left {
				t.Errorf("not done: %v", &left[i])
			}
		})
	}
}
