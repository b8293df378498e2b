package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/fsva/fsva/cmd/appliance/systemd"
	"github.com/fsva/fsva/server/nfs/nfs4"
)

// watch tells systemd for as long as NFS calls are answered. When they are
// not, it keeps silent, and systemd starts the appliance anew.
func (a *appliance) watch(ctx context.Context) {
	interval := systemd.WatchdogInterval()
	if interval == 0 {
		return
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		err := ping(ctx, address(a.nfsListener), interval)
		if err == nil {
			err = systemd.Notify("WATCHDOG=1")
		}
		if err != nil && ctx.Err() == nil {
			a.log.Error().Err(err).Msg("the watchdog is not told that NFS is served")
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// ping calls the procedure that does nothing (RFC 8881 §16.1) of the NFS
// server at an address that it listens on.
func ping(ctx context.Context, at string, limit time.Duration) error {
	addr, err := netip.ParseAddrPort(at)
	if err != nil {
		return err
	}
	if ip := addr.Addr(); ip.IsUnspecified() {
		at = net.JoinHostPort("localhost", strconv.Itoa(int(addr.Port())))
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "tcp", at)
	if err != nil {
		return err
	}
	defer c.Close()
	deadline, _ := ctx.Deadline()
	if err := c.SetDeadline(deadline); err != nil {
		return err
	}
	const lastFragment, rpcVersion = 1 << 31, 2 // RFC 5531 §11, §9
	if _, err := c.Write(words(lastFragment|40, 1, 0, rpcVersion, nfs4.Program, nfs4.Version, 0, 0, 0, 0, 0)); err != nil {
		return err
	}
	// Its length, the call's number, a reply, accepted, no verifier, success.
	want := words(lastFragment|24, 1, 1, 0, 0, 0, 0)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil {
		return fmt.Errorf("NFS at %s does not answer: %w", at, err)
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("NFS at %s answers %x to a call that does nothing", at, got)
	}
	return nil
}

// words are numbers as XDR has them.
func words(list ...uint32) (b []byte) {
	for _, w := range list {
		b = append(b, byte(w>>24), byte(w>>16), byte(w>>8), byte(w))
	}
	return b
}
