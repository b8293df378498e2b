package host

import (
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// The change attribute is the ctime in nanoseconds: user space gets nothing
// better. Since Linux 6.13 four file systems give every change that somebody
// could have noticed a ctime of its own (multigrain timestamps,
// Documentation/filesystems/multigrain-ts.rst): ext4, xfs, btrfs and tmpfs. But
// in tmpfs a directory takes over the ctime of the file that is linked or
// removed there (simple_link, simple_unlink), which may be no later than its
// own; so it counts as one of the others. There ctime advances with
// the timer tick of 1 to 10 ms, or what the file system keeps if that is coarser,
// and changes adds what is missing to the changes made through this package; two
// changes by others within a tick look like one.
//
// Either way the value follows the clock, which an administrator can set back.
// So it always differs but is not promised to grow: Caps.ChangeMonotonic is
// false, as for the kernel's own server with such file systems.

// fineGrained reports whether the ctime alone tells changes apart. root is what
// statx told of the root, with the time of its birth if it has one: ext2, and ext4
// with inodes of 128 bytes, have no place for that, nor for fractions of seconds.
func fineGrained(magic int64, root *unix.Statx_t) bool {
	switch magic {
	case unix.EXT4_SUPER_MAGIC: // of ext2 and ext3, too
		if root.Mask&unix.STATX_BTIME == 0 {
			return false
		}
	case unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC:
	default:
		return false
	}
	var uts unix.Utsname
	if unix.Uname(&uts) != nil {
		return false
	}
	return releaseAtLeast(unix.ByteSliceToString(uts.Release[:]), 6, 13)
}

// releaseAtLeast compares a kernel release such as "6.18.44-amd64".
func releaseAtLeast(release string, major, minor int) bool {
	a, rest, _ := strings.Cut(release, ".")
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(rest)
	}
	x, err1 := strconv.Atoi(a)
	y, err2 := strconv.Atoi(rest[:end])
	return err1 == nil && err2 == nil && (x > major || x == major && y >= minor)
}

// maxChanges bounds the memory of changes to a few MiB. When more nodes have
// changed without their ctime advancing since, some are forgotten.
const maxChanges = 1 << 16

// changes knows the nodes whose change attribute runs ahead of their ctime. A
// nil *changes is for file systems that need none.
type changes struct {
	mu    sync.Mutex
	ahead map[string]uint64
}

// made notes a change that was made through this package and left the node
// with ctime. The attribute moves at least by one, also from a value that was
// reported and not noted.
func (c *changes) made(handle []byte, ctime uint64) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.ahead[string(handle)]; !known && len(c.ahead) >= maxChanges {
		for h := range c.ahead {
			delete(c.ahead, h)
			break
		}
	}
	c.ahead[string(handle)] = max(ctime, c.ahead[string(handle)]) + 1
}

// of returns the change attribute of a node with ctime.
func (c *changes) of(handle []byte, ctime uint64) uint64 {
	if c == nil {
		return ctime
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	v, known := c.ahead[string(handle)]
	if !known || v > ctime {
		return max(v, ctime)
	}
	delete(c.ahead, string(handle))
	return ctime
}
