package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"

	"github.com/fsva/fsva/vfs/export"
)

// P9 is an address that serves 9P:
//
//	tcp://IP:PORT
//	unix:///PATH
//	vsock://:PORT
//	virtio:///SOCKET?export=NAME&tag=TAG
//
// The last is a device for one virtual machine, whose monitor connects to
// SOCKET, or with &connect=1 listens there. It has one export, of which there
// is only one if it is not named; the tag is its name unless given.
type P9 struct {
	Transport string // tcp, unix, vsock or virtio
	Address   string // IP:PORT, path, or port
	Port      uint32 // of vsock
	Export    string // of virtio, may be empty
	Tag       string // of virtio, may be empty
	Connect   bool   // of virtio
}

// ParseP9 reads an address that serves 9P.
func ParseP9(text string) (p P9, err error) {
	u, err := url.Parse(text)
	if err != nil || u.Opaque != "" || u.User != nil || u.Fragment != "" {
		return p, fmt.Errorf("%q is no address such as tcp://127.0.0.1:564", text)
	}
	p.Transport = u.Scheme
	query := u.Query()
	if p.Transport != "virtio" && u.RawQuery != "" {
		return p, fmt.Errorf("%s: only virtio takes keys after a ?", text)
	}
	switch p.Transport {
	case "tcp":
		p.Address = u.Host
		if _, err := netip.ParseAddrPort(u.Host); err != nil || u.Path != "" {
			return p, fmt.Errorf("%s is not of the form tcp://IP:PORT", text)
		}
	case "vsock":
		p.Address = u.Host
		n, err := strconv.ParseUint(u.Port(), 10, 32)
		if err != nil || u.Hostname() != "" || u.Path != "" {
			return p, fmt.Errorf("%s is not of the form vsock://:PORT", text)
		}
		p.Port = uint32(n)
	case "unix", "virtio":
		p.Address = u.Path
		if u.Host != "" || !filepath.IsAbs(u.Path) || len(u.Path) >= maxSocketPath {
			return p, fmt.Errorf("%s: needs an absolute path of less than %d bytes, as in %s:///run/fsva.sock", text, maxSocketPath, p.Transport)
		}
		return p, p.readKeys(text, query)
	default:
		return p, fmt.Errorf("%s: known are tcp, unix, vsock and virtio", text)
	}
	return p, nil
}

// maxSocketPath is what fits into sockaddr_un, in bytes.
const maxSocketPath = 108

func (p *P9) readKeys(text string, query url.Values) error {
	for key, values := range query {
		if len(values) > 1 {
			return fmt.Errorf("%s: %s is given twice", text, key)
		}
		switch v := values[0]; key {
		case "export":
			if err := export.CheckName(v); err != nil {
				return fmt.Errorf("%s: %w", text, err)
			}
			p.Export = v
		case "tag":
			if v == "" || len(v) > maxTag {
				return fmt.Errorf("%s: a tag has 1 to %d bytes", text, maxTag)
			}
			p.Tag = v
		case "connect":
			on, err := strconv.ParseBool(v)
			if err != nil {
				return fmt.Errorf("%s: connect is 0 or 1", text)
			}
			p.Connect = on
		default:
			return fmt.Errorf("%s: unknown key %q; known are export, tag and connect", text, key)
		}
	}
	return nil
}

// maxTag is the longest tag of a virtio 9P device that QEMU has room for, in
// bytes.
const maxTag = 254
