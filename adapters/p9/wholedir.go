package p9fs

import (
	"cmp"
	"hash/maphash"
	"slices"

	"github.com/hugelgupf/p9/p9"

	"github.com/fsva/fsva/vfs"
)

// listed is an entry with a cookie that stays the same while others come and
// go, which the offsets of some file systems do not.
type listed struct {
	cookie uint64
	entry  p9.Dirent
}

// readWhole is ReadDir for file systems whose offsets are indexes: it reads
// all entries and emits them in the order of a hash of their names.
func (n *node) readWhole(cred *vfs.Cred, cookie uint64, want vfs.AttrMask, emit func(*vfs.DirEntry) bool) (eof bool, err error) {
	all, err := n.readAll(cred)
	if err != nil {
		return false, err
	}
	for i := range all {
		if all[i].cookie <= cookie {
			continue
		}
		d, err := n.dirEntry(&all[i].entry, all[i].cookie, want)
		if err != nil {
			return false, err
		}
		if !emit(d) {
			return false, nil
		}
	}
	return true, nil
}

// readAll reads all entries, in one go since others may add some all the time.
func (n *node) readAll(cred *vfs.Cred) (all []listed, err error) {
	err = n.shared(func(h *held) error {
		if _, err := h.search(cred, mayRead); err != nil {
			return err
		}
		for offset := uint64(0); ; {
			entries, err := h.readdir(offset)
			if err != nil || len(entries) == 0 {
				return err
			}
			for _, e := range entries {
				offset = e.Offset
				if vfs.CheckName(e.Name) == nil {
					all = append(all, listed{n.fs.nameCookie(e.Name), e})
				}
			}
			if offset == 0 {
				return errBroken
			}
		}
	})
	return order(all), err
}

// nameCookie is the cookie of a name: its hash, but no reserved number.
func (f *FS) nameCookie(name string) uint64 {
	return max(maphash.String(f.seed, name), cookieBase+1)
}

// order sorts entries by their cookies. What came and went meanwhile may have
// moved an index, so that a name was read twice. Where two names have one
// cookie, which is not to be expected, the second gets the next.
func order(all []listed) []listed {
	slices.SortFunc(all, func(a, b listed) int {
		return cmp.Or(cmp.Compare(a.cookie, b.cookie), cmp.Compare(a.entry.Name, b.entry.Name))
	})
	all = slices.CompactFunc(all, func(a, b listed) bool { return a.entry.Name == b.entry.Name })
	for i := 1; i < len(all); i++ {
		all[i].cookie = max(all[i].cookie, all[i-1].cookie+1)
	}
	return all
}
