package lock

import (
	"maps"
	"slices"
	"sync"
	"syscall"
)

// What one client may have in the table, so that a hostile one cannot fill the
// memory. Shares are bounded by the protocols, which keep state for each.
const (
	maxRanges  = 1 << 17 // byte ranges held
	maxNotices = 1 << 10 // calls of Notify pending
)

// index tells what each client has in the table without a look at all files.
type index struct {
	mu      sync.Mutex
	clients map[Client]*holdings
}

type holdings struct {
	files   map[*file]int32  // how many things it has or waits for there
	owners  map[string]int32 // byte ranges, by Owner.Name
	ranges  int32            // byte ranges of all owners
	notices int32
}

// note counts one thing more (1) or less (-1) of a client on a file.
func (x *index) note(c Client, f *file, by int32) {
	x.mu.Lock()
	defer x.mu.Unlock()
	h := x.clients[c]
	if h == nil {
		h = &holdings{files: make(map[*file]int32, 1)}
		x.clients[c] = h
	}
	if h.files[f] += by; h.files[f] != 0 {
		return
	}
	delete(h.files, f)
	if len(h.files) == 0 {
		delete(x.clients, c)
	}
}

// ranges counts byte ranges that an owner gets or gives back on a file that is
// noted. ENOLCK, as in fcntl(2), if the client would have too many.
func (x *index) ranges(o Owner, by int32) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	h := x.clients[o.Client]
	if by > 0 && h.ranges+by > maxRanges {
		return syscall.ENOLCK
	}
	h.ranges += by
	if h.owners == nil {
		h.owners = make(map[string]int32, 1)
	}
	if h.owners[o.Name] += by; h.owners[o.Name] == 0 {
		delete(h.owners, o.Name)
	}
	return nil
}

// notices counts a notice; false if the client would have too many.
func (x *index) notices(c Client, by int32) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	h := x.clients[c]
	if by > 0 && h.notices+by > maxNotices {
		return false
	}
	h.notices += by
	return true
}

// holds reports whether the owner holds a byte range of any file.
func (x *index) holds(o Owner) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	h := x.clients[o.Client]
	return h != nil && h.owners[o.Name] > 0
}

// files returns where a client has anything.
func (x *index) files(c Client) []*file {
	x.mu.Lock()
	defer x.mu.Unlock()
	h := x.clients[c]
	if h == nil {
		return nil
	}
	return slices.AppendSeq(make([]*file, 0, len(h.files)), maps.Keys(h.files))
}
