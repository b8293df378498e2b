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
//	virtio:///SOCKET?export=NAME&tag=TAG&guest=NAME
//	xen:?export=NAME
//
// virtio is a device for one virtual machine, whose monitor connects to
// SOCKET, or with &connect=1 listens there. It has one export, of which there
// is only one if it is not named; the tag is its name unless given. With a
// guest it is as if that guest of the site came from its address, where an
// export says who its clients are.
//
// xen is all devices that other Xen domains have from this one. The path that a
// device was given names its export, unless the address does.
type P9 struct {
	Transport string // tcp, unix, vsock, virtio or xen
	Address   string // IP:PORT, path, or port
	Port      uint32 // of vsock
	Export    string // of virtio or xen, may be empty
	Tag       string // of virtio, may be empty
	Connect   bool   // of virtio
	Guest     string // of virtio, may be empty
}

// ParseP9 reads an address that serves 9P.
func ParseP9(text string) (p P9, err error) {
	u, err := url.Parse(text)
	if err != nil || u.Opaque != "" || u.User != nil || u.Fragment != "" {
		return p, fmt.Errorf("%q is no address such as tcp://127.0.0.1:564", text)
	}
	p.Transport = u.Scheme
	query := u.Query()
	if p.Transport != "virtio" && p.Transport != "xen" && u.RawQuery != "" {
		return p, fmt.Errorf("%s: only virtio and xen take keys after a ?", text)
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
	case "xen":
		if u.Host != "" || u.Path != "" {
			return p, fmt.Errorf("%s is not of the form xen: or xen:?export=NAME", text)
		}
		if err := p.readKeys(text, query); err != nil {
			return p, err
		}
		if p.Tag != "" || p.Connect || p.Guest != "" {
			return p, fmt.Errorf("%s: xen has the key export only", text)
		}
	default:
		return p, fmt.Errorf("%s: known are tcp, unix, vsock, virtio and xen", text)
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
		case "guest":
			if v == "" {
				return fmt.Errorf("%s: guest= needs the name of a guest of the site", text)
			}
			p.Guest = v
		default:
			return fmt.Errorf("%s: unknown key %q; known are export, tag, connect and guest", text, key)
		}
	}
	return nil
}

// maxTag is the longest tag of a virtio 9P device that QEMU has room for, in
// bytes.
const maxTag = 254
