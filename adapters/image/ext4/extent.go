package ext4

import (
	"math"
	"sort"

	"github.com/fsva/fsva/adapters/image/disk"
)

// The header of a node of an extent tree, and its entries, have 12 bytes each.
const (
	extentEntry    = 12
	extentMagic    = 0xF30A
	maxExtentDepth = 5
	// maxExtent is the longest extent. What is above it is the length of one
	// that was allocated and not written to, which reads as a hole.
	maxExtent = 1 << 15
)

// extent maps a block of a file by its extent tree.
func (f *FS) extent(i *inode, block uint32) (run, error) {
	node, limit := i.blockMap(), uint64(math.MaxUint32)+1
	depth := le.Uint16(node[6:])
	if depth > maxExtentDepth {
		return run{}, disk.Corrupt("inode %d: an extent tree of %d levels", i.number, depth)
	}
	for {
		entries, err := extents(i, node, depth)
		if err != nil {
			return run{}, err
		}
		// The entry before the first one that begins behind the block.
		n := sort.Search(len(entries)/extentEntry, func(k int) bool { return le.Uint32(entries[k*extentEntry:]) > block })
		if n*extentEntry < len(entries) {
			limit = min(limit, uint64(le.Uint32(entries[n*extentEntry:])))
		}
		if n == 0 {
			return run{count: max(1, limit-uint64(block))}, nil
		}
		e := entries[(n-1)*extentEntry:][:extentEntry]
		if depth == 0 {
			return leaf(e, block, limit), nil
		}
		if node, err = f.block(uint64(le.Uint32(e[4:])) | uint64(le.Uint16(e[8:]))<<32); err != nil {
			return run{}, err
		}
		if f.super.checksums() && !extentSound(i, node) {
			return run{}, disk.Corrupt("inode %d: the checksum of an extent block is wrong", i.number)
		}
		depth--
	}
}

// leaf maps a block that is at or behind the start of an extent, up to limit.
func leaf(e []byte, block uint32, limit uint64) run {
	start, length := le.Uint32(e), uint64(le.Uint16(e[4:]))
	at := uint64(le.Uint32(e[8:])) | uint64(le.Uint16(e[6:]))<<32
	if length > maxExtent {
		at, length = 0, length-maxExtent
	}
	skip := uint64(block - start)
	if skip >= length {
		return run{count: max(1, limit-uint64(block))}
	}
	r := run{count: max(1, min(length-skip, limit-uint64(block)))}
	if at != 0 {
		r.at = at + skip
	}
	return r
}

// extents checks a node and returns its entries.
func extents(i *inode, node []byte, depth uint16) ([]byte, error) {
	count, room := int(le.Uint16(node[2:])), int(le.Uint16(node[4:]))
	switch {
	case le.Uint16(node) != extentMagic:
		return nil, disk.Corrupt("inode %d: a block is no node of an extent tree", i.number)
	case le.Uint16(node[6:]) != depth:
		return nil, disk.Corrupt("inode %d: a node of an extent tree is at level %d instead of %d", i.number, le.Uint16(node[6:]), depth)
	case count > room || (room+1)*extentEntry > len(node):
		return nil, disk.Corrupt("inode %d: a node of an extent tree with %d of %d entries", i.number, count, room)
	}
	return node[extentEntry : (count+1)*extentEntry], nil
}

// extentSound compares the checksum behind the entries, if there is room for it.
func extentSound(i *inode, node []byte) bool {
	end := (int(le.Uint16(node[4:])) + 1) * extentEntry
	return end+4 > len(node) || sum(i.seed, node[:end]) == le.Uint32(node[end:])
}
