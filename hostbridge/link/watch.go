package link

import (
	"fmt"

	"github.com/vishvananda/netlink"
)

// Watch notices what happens to the ports of a bridge.
type Watch struct {
	// Changed has something in it after a port came or became another. It is
	// closed if the kernel had more to tell than it keeps (netlink(7), ENOBUFS).
	Changed chan struct{}

	done chan struct{}
}

// watchBytes is room for what the kernel tells of all interfaces of a host.
const watchBytes = 4 << 20

// NewWatch watches a bridge that is there.
func NewWatch(bridge string) (*Watch, error) {
	l, err := netlink.LinkByName(bridge)
	if err != nil {
		return nil, fmt.Errorf("bridge %s: %w", bridge, err)
	}
	w := &Watch{Changed: make(chan struct{}, 1), done: make(chan struct{})}
	updates := make(chan netlink.LinkUpdate)
	options := netlink.LinkSubscribeOptions{ReceiveBufferSize: watchBytes, ReceiveBufferForceSize: true}
	if err := netlink.LinkSubscribeWithOptions(updates, w.done, options); err != nil {
		return nil, fmt.Errorf("watch interfaces: %w", err)
	}
	go w.read(l.Attrs().Index, updates)
	return w, nil
}

// read takes what the kernel tells as it comes, and keeps that there was some.
func (w *Watch) read(bridge int, updates <-chan netlink.LinkUpdate) {
	defer close(w.Changed)
	for u := range updates {
		if u.Link.Attrs().MasterIndex != bridge {
			continue
		}
		select {
		case w.Changed <- struct{}{}:
		default:
		}
	}
}

// Close ends the watch, and returns when it has ended.
func (w *Watch) Close() {
	close(w.done)
	for range w.Changed {
	}
}
