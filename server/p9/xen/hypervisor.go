package xen

// hypervisor is what the rings of another domain are made of.
type hypervisor interface {
	// close comes when nothing is mapped or bound any more.
	close()

	// mapGrants maps pages that a domain granted, one behind the other, for
	// reading and writing. The caller calls unmap once, when nobody touches them
	// any more.
	mapGrants(domain uint32, refs []uint32) (pages []byte, unmap func(), err error)

	// bind connects to an event channel that a domain made for us.
	bind(domain, port uint32) (eventChannel, error)
}

// eventChannel is one end of a channel that carries events: interrupts without
// content, of which several may come as one.
type eventChannel interface {
	// wait returns after an event since the last wait, or with an error when the
	// channel is closed.
	wait() error
	notify() error
	Close() error
}

// pageSize is that of grants, whatever the machine's own is.
const pageSize = 4096
