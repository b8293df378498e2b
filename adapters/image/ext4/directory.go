package ext4

import (
	"context"
	"sort"

	"github.com/fsva/fsva/adapters/image/disk"
	"github.com/fsva/fsva/vfs"
)

// directory is what a directory holds, in the order of the disk and by name. It
// never changes.
type directory struct {
	entries []entry
	text    []byte   // names
	byName  []uint32 // places in entries
}

// entry is a name in a directory. "." and "..", and names that no file can have,
// are not among them.
type entry struct {
	text   uint32 // where the name is in directory.text
	inode  uint32
	length uint8
	typ    vfs.FileType
}

// maxEntries and maxText bound what one directory takes in memory.
const (
	maxEntries = 4 << 20
	maxText    = 256 << 20
)

func (d *directory) weight() int64 { return int64(len(d.entries))*16 + int64(cap(d.text)) + 64 }

func (d *directory) name(e entry) []byte { return d.text[e.text : e.text+uint32(e.length)] }

// find returns the inode of a name, 0 if there is none.
func (d *directory) find(name string) uint32 {
	n := sort.Search(len(d.byName), func(k int) bool { return string(d.name(d.entries[d.byName[k]])) >= name })
	if n < len(d.byName) {
		if e := d.entries[d.byName[n]]; string(d.name(e)) == name {
			return e.inode
		}
	}
	return 0
}

// directory returns what a directory holds.
func (f *FS) directory(ctx context.Context, i *inode) (*directory, error) {
	if d, ok := f.directories.Get(i.number); ok {
		return d, nil
	}
	c, err := f.content(i)
	if err != nil {
		return nil, err
	}
	d := &directory{}
	if c.runs == nil {
		err = d.addInline(f, i, c.inline)
	} else {
		err = d.addBlocks(ctx, f, i, c)
	}
	if err != nil {
		return nil, err
	}
	d.byName = make([]uint32, len(d.entries))
	for k := range d.byName {
		d.byName[k] = uint32(k)
	}
	// Of several entries of one name the first is found, as the kernel does.
	sort.SliceStable(d.byName, func(a, b int) bool {
		return string(d.name(d.entries[d.byName[a]])) < string(d.name(d.entries[d.byName[b]]))
	})
	f.directories.Add(i.number, d)
	return d, nil
}

// addInline adds the entries in an inode: behind the parent's number those in
// i_block, then those in the attribute.
func (d *directory) addInline(f *FS, i *inode, p []byte) error {
	if len(p) < 4 {
		return disk.Corrupt("directory %d has no parent", i.number)
	}
	first := min(len(p), mapSize)
	if err := d.add(f, i, p[4:first]); err != nil {
		return err
	}
	return d.add(f, i, p[first:])
}

// addBlocks adds the entries of all blocks. The nodes of a hash tree look like
// blocks without entries (Documentation/filesystems/ext4/directory.rst).
func (d *directory) addBlocks(ctx context.Context, f *FS, i *inode, c *content) error {
	size := int64(f.super.blockSize)
	if c.size%size != 0 || uint64(c.size/size) > f.super.blocks {
		return disk.Corrupt("directory %d has %d bytes", i.number, c.size)
	}
	p := make([]byte, size)
	for off := int64(0); off < c.size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		r, err := c.runs(uint32(off / size))
		if err != nil {
			return err
		}
		if r.at == 0 {
			off += int64(min(r.count, uint64(c.size/size))) * size
			continue
		}
		for k := uint64(0); k < r.count && off < c.size; k++ {
			if err := c.readRun(p, run{r.at + k, 1}, 0); err != nil {
				return err
			}
			if f.super.checksums() && !leafSound(i, p) {
				return disk.Corrupt("directory %d: the checksum of the block at %d is wrong", i.number, off)
			}
			if err := d.add(f, i, p); err != nil {
				return err
			}
			off += size
		}
	}
	return nil
}

// A leaf with a checksum ends in what looks like an entry without a name.
const (
	tailSize = 12
	tailType = 0xDE
)

// leafSound compares the checksum of a leaf. Nodes of the hash tree have another
// one, which is not looked at; their ends may look like that of the leaf they were.
func leafSound(i *inode, p []byte) bool {
	tail := p[len(p)-tailSize:]
	if treeNode(p) || le.Uint32(tail) != 0 || le.Uint16(tail[4:]) != tailSize || tail[6] != 0 || tail[7] != tailType {
		return true
	}
	return le.Uint32(tail[8:]) == sum(i.seed, p[:len(p)-tailSize])
}

// treeNode reports whether a block is a node of the hash tree: one entry that
// takes all of it, or in the root all that "." leaves (get_dx_countlimit).
func treeNode(p []byte) bool {
	size := uint32(len(p))
	first := recordLength(le.Uint16(p[4:]), size)
	return first == len(p) || first == minEntry && recordLength(le.Uint16(p[minEntry+4:]), size) == len(p)-minEntry
}

// entryHeader is what comes before a name, and minEntry the shortest entry.
const (
	entryHeader = 8
	minEntry    = 12
)

// fileTypes are the types of entries with the feature filetype.
var fileTypes = [8]vfs.FileType{
	vfs.TypeUnknown, vfs.TypeRegular, vfs.TypeDirectory, vfs.TypeChar, vfs.TypeBlock, vfs.TypeFIFO, vfs.TypeSocket, vfs.TypeSymlink,
}

// add adds the entries of a block.
func (d *directory) add(f *FS, i *inode, p []byte) error {
	for len(p) >= minEntry {
		length := recordLength(le.Uint16(p[4:]), f.super.blockSize)
		nameLen, typ := int(p[6]), vfs.TypeUnknown
		if f.super.incompat&incompatFiletype != 0 {
			typ = fileTypes[p[7]&7]
		}
		if length < minEntry || length%4 != 0 || length > len(p) || entryHeader+nameLen > length {
			return disk.Corrupt("directory %d has a malformed entry", i.number)
		}
		name := p[entryHeader : entryHeader+nameLen]
		if number := le.Uint32(p); number != 0 && vfs.CheckName(string(name)) == nil {
			d.entries = append(d.entries, entry{uint32(len(d.text)), number, uint8(nameLen), typ})
			d.text = append(d.text, name...)
		}
		if len(d.entries) > maxEntries || len(d.text) > maxText {
			return vfs.Errorf(vfs.EFBIG, "directory %d has more than %d entries or %d bytes of names", i.number, maxEntries, maxText)
		}
		p = p[length:]
	}
	return nil
}

// recordLength is the length of an entry, of which 16 bits hold 18 in blocks of
// 64 KiB (ext4_rec_len_from_disk).
func recordLength(n uint16, blockSize uint32) int {
	if blockSize < maxBlockSize {
		return int(n)
	}
	if n == 0 || n == 0xFFFF {
		return maxBlockSize
	}
	return int(n&^3) | int(n&3)<<16
}

// parent is the inode that the ".." of a directory names.
func (f *FS) parent(i *inode) (uint32, error) {
	c, err := f.content(i)
	if err != nil {
		return 0, err
	}
	if c.runs == nil {
		if len(c.inline) < 4 {
			return 0, disk.Corrupt("directory %d has no parent", i.number)
		}
		return le.Uint32(c.inline), nil
	}
	p := make([]byte, 2*minEntry)
	if c.size < int64(len(p)) {
		return 0, disk.Corrupt("directory %d is empty", i.number)
	}
	if err := c.readAt(p, 0); err != nil {
		return 0, err
	}
	if le.Uint16(p[4:]) != minEntry || p[6] != 1 || p[8] != '.' || p[minEntry+6] != 2 || string(p[minEntry+8:minEntry+10]) != ".." {
		return 0, disk.Corrupt("directory %d does not start with its own name and its parent's", i.number)
	}
	return le.Uint32(p[minEntry:]), nil
}
