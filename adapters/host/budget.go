package host

import (
	"sync"

	"golang.org/x/sys/unix"
)

// budget divides what may be kept open among the caches of a process, since
// RLIMIT_NOFILE is the process's: caches that only know their own bounds leave
// nothing for sockets when there are enough of them.
type budget struct {
	mu     sync.Mutex // before the locks of shards
	caches map[*descriptors]struct{}
}

// kept is the budget of this process.
var kept = budget{caches: make(map[*descriptors]struct{})}

// join gives d its share, for which the others make room at once.
func (b *budget) join(d *descriptors) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.caches[d] = struct{}{}
	b.divide()
}

// leave gives the share of d to the others, if it has one.
func (b *budget) leave(d *descriptors) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.caches[d]; !ok {
		return
	}
	delete(b.caches, d)
	b.divide()
}

func (b *budget) divide() {
	if len(b.caches) == 0 {
		return
	}
	share := min(quarter()/len(b.caches), maxShare)
	for d := range b.caches {
		d.bound(share)
	}
}

// maxShare is as much as one cache has use for.
const maxShare = 16384

// quarter of the descriptors that the process may have is kept for nodes. The
// others are for connections, calls under way and files that must stay open.
func quarter() int {
	const least, most = 64, 1 << 20 // there may be no limit
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return least
	}
	return int(max(min(limit.Cur/4, most), least))
}
