package host

// lru is a list of descriptors by the time of their last use. It is linked
// through the descriptors, so that using one allocates nothing.
type lru struct {
	first, last *descriptor // the most and the least recently used
}

type lruLinks struct {
	newer, older *descriptor
}

// add puts a descriptor in front.
func (l *lru) add(d *descriptor) {
	d.links = lruLinks{older: l.first}
	if l.first != nil {
		l.first.links.newer = d
	} else {
		l.last = d
	}
	l.first = d
}

// remove takes out a descriptor that is in the list.
func (l *lru) remove(d *descriptor) {
	newer, older := d.links.newer, d.links.older
	if newer != nil {
		newer.links.older = older
	} else {
		l.first = older
	}
	if older != nil {
		older.links.newer = newer
	} else {
		l.last = newer
	}
	d.links = lruLinks{}
}
