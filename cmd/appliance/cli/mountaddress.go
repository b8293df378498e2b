package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/mdlayher/vsock"
)

// serverAddress is where a client finds a 9P server:
//
//	tcp://HOST:PORT
//	unix:///PATH
//	vsock://CID:PORT
type serverAddress struct {
	transport string // tcp, unix or vsock
	address   string // HOST:PORT, or a path
	cid, port uint32 // of vsock
}

// maxSocketPath is what fits into sockaddr_un, in bytes.
const maxSocketPath = 108

func parseServer(text string) (a serverAddress, err error) {
	u, err := url.Parse(text)
	if err != nil || u.Opaque != "" || u.User != nil || u.Fragment != "" || u.RawQuery != "" {
		return a, fmt.Errorf("%q is no address such as tcp://10.77.0.1:564", text)
	}
	a = serverAddress{transport: u.Scheme, address: u.Host}
	switch u.Scheme {
	case "tcp":
		port, err := strconv.ParseUint(u.Port(), 10, 16)
		if err != nil || port == 0 || u.Hostname() == "" || u.Path != "" {
			return a, fmt.Errorf("%s is not of the form tcp://HOST:PORT", text)
		}
		a.port = uint32(port)
	case "vsock":
		cid, err := strconv.ParseUint(u.Hostname(), 10, 32)
		port, err2 := strconv.ParseUint(u.Port(), 10, 32)
		if err != nil || err2 != nil || u.Path != "" {
			return a, fmt.Errorf("%s is not of the form vsock://CID:PORT, with two numbers; the host has the CID 2", text)
		}
		a.cid, a.port = uint32(cid), uint32(port)
	case "unix":
		a.address = u.Path
		if u.Host != "" || !filepath.IsAbs(u.Path) || len(u.Path) >= maxSocketPath {
			return a, fmt.Errorf("%s: needs an absolute path of less than %d bytes, as in unix:///run/fsva.9p", text, maxSocketPath)
		}
	default:
		return a, fmt.Errorf("%s: known are tcp, unix and vsock", text)
	}
	return a, nil
}

func (a serverAddress) String() string { return a.transport + "://" + a.address }

// keepAlive gives up as late as the server does (package p9): its machine may only
// be paused, and a mount over 9P does not survive its connection.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 20 * time.Second, Interval: 10 * time.Second, Count: 127}

// dial connects. That of vsock cannot be cancelled; the kernel gives it 2 s.
func (a serverAddress) dial(ctx context.Context) (net.Conn, error) {
	if a.transport != "vsock" {
		d := net.Dialer{KeepAliveConfig: keepAlive}
		return d.DialContext(ctx, a.transport, a.address)
	}
	c, err := vsock.Dial(a.cid, a.port, nil)
	switch {
	case errors.Is(err, syscall.EAFNOSUPPORT), errors.Is(err, syscall.ENODEV):
		return nil, fmt.Errorf("%w; is the module vmw_vsock_virtio_transport, or vhost_vsock on a host, loaded?", err)
	case err != nil:
		return nil, err
	}
	return c, nil
}
