package p9fs

import (
	"golang.org/x/sys/unix"

	"github.com/hugelgupf/p9/p9"

	"github.com/fsva/fsva/vfs"
)

// typeBits are the kinds of nodes in a p9.FileMode, which is a mode_t.
var typeBits = map[p9.FileMode]vfs.FileType{
	p9.ModeRegular:         vfs.TypeRegular,
	p9.ModeDirectory:       vfs.TypeDirectory,
	p9.ModeSymlink:         vfs.TypeSymlink,
	p9.ModeBlockDevice:     vfs.TypeBlock,
	p9.ModeCharacterDevice: vfs.TypeChar,
	p9.ModeNamedPipe:       vfs.TypeFIFO,
	p9.ModeSocket:          vfs.TypeSocket,
}

// modeBits is typeBits the other way round.
var modeBits = func() map[vfs.FileType]p9.FileMode {
	m := make(map[vfs.FileType]p9.FileMode, len(typeBits))
	for mode, typ := range typeBits {
		m[typ] = mode
	}
	return m
}()

const permBits = 0o7777

// attr returns all attributes. op is held.
func (h *held) attr() (vfs.Attr, error) {
	qid, valid, p, err := h.fid.file.GetAttr(p9.AttrMaskAll)
	if err == nil && qid.Path != h.entry.id {
		err = vfs.ESTALE
	}
	if err = gone(err); err == vfs.ESTALE { // others have given its name away
		h.fs.nodes.mislead(h.entry)
	}
	if err != nil {
		return vfs.Attr{}, err
	}
	a := vfs.Attr{
		Valid:  vfs.AttrStat | vfs.AttrChange,
		Type:   typeBits[p.Mode.FileType()],
		Mode:   uint32(p.Mode) & permBits,
		Nlink:  uint32(p.NLink),
		UID:    uint32(p.UID),
		GID:    uint32(p.GID),
		Size:   p.Size,
		Used:   p.Blocks * 512, // as in stat(2)
		FileID: qid.Path,
		Rdev:   vfs.Rdev{Major: unix.Major(uint64(p.RDev)), Minor: unix.Minor(uint64(p.RDev))},
		Atime:  timespec(p.ATimeSeconds, p.ATimeNanoSeconds),
		Mtime:  timespec(p.MTimeSeconds, p.MTimeNanoSeconds),
		Ctime:  timespec(p.CTimeSeconds, p.CTimeNanoSeconds),
		Btime:  timespec(p.BTimeSeconds, p.BTimeNanoSeconds),
	}
	// Many echo the mask they were asked with, so 0 counts as not told.
	if valid.BTime && a.Btime != (vfs.Timespec{}) {
		a.Valid |= vfs.AttrBirth
	}
	if valid.DataVersion && p.DataVersion != 0 {
		a.Change = p.DataVersion
	} else {
		a.Change = mix(uint64(a.Ctime.Sec), uint64(a.Ctime.Nsec), uint64(a.Mtime.Sec), uint64(a.Mtime.Nsec), h.stamp.Load())
	}
	h.setID.Store(a.Type != vfs.TypeDirectory && a.Mode&(vfs.ModeSetUID|vfs.ModeSetGID) != 0)
	return a, nil
}

// mix makes one number of several, so that a difference in any of them is one
// in the result (with all but certainty: FNV-1a by words).
func mix(words ...uint64) uint64 {
	sum := uint64(14695981039346656037)
	for _, w := range words {
		sum = (sum ^ w) * 1099511628211
		sum ^= sum >> 29
	}
	return sum
}

func timespec(sec, nsec uint64) vfs.Timespec {
	return vfs.Timespec{Sec: int64(sec), Nsec: uint32(nsec % 1e9)}
}

// changed notes a change made through this FS.
func (h *held) changed() { h.stamp.Store(h.fs.changes.Add(1)) }

// told notes a change of the directory, whose attributes were before, and says
// so as the methods that make one do.
func (h *held) told(before *vfs.Attr) (vfs.DirChange, error) {
	h.changed()
	after, err := h.attr()
	if err != nil {
		return vfs.DirChange{}, err
	}
	return vfs.DirChange{Before: before.Change, After: after.Change, Atomic: h.fs.opt.Exclusive}, nil
}
