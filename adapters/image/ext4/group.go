package ext4

import (
	"io"

	"github.com/fsva/fsva/adapters/image/disk"
)

// readGroups returns where the inode table of each group is.
func readGroups(dev io.ReaderAt, s *super) ([]uint64, error) {
	perBlock := uint64(s.blockSize / s.descSize)
	groups := s.groups()
	tables := make([]uint64, 0, groups)
	p := make([]byte, s.blockSize)
	for nr := uint64(0); nr*perBlock < groups; nr++ {
		at := s.descBlock(nr)
		if at >= s.blocks {
			return nil, disk.Corrupt("the descriptors of group %d are not on the device", nr*perBlock)
		}
		if err := disk.ReadFull(dev, p, int64(at)*int64(s.blockSize)); err != nil {
			return nil, err
		}
		for i := uint64(0); i < perBlock && uint64(len(tables)) < groups; i++ {
			table, err := s.table(uint32(len(tables)), p[i*uint64(s.descSize):][:s.descSize])
			if err != nil {
				return nil, err
			}
			tables = append(tables, table)
		}
	}
	return tables, nil
}

// table reads a group descriptor.
func (s *super) table(group uint32, p []byte) (uint64, error) {
	if s.checksums() {
		seed := sum(sum32(s.seed, group), p[:0x1E])
		seed = sum(seed, []byte{0, 0})
		if got := sum(seed, p[0x20:]); uint16(got) != le.Uint16(p[0x1E:]) {
			return 0, disk.Corrupt("the checksum of the descriptor of group %d is wrong; run e2fsck on the image", group)
		}
	}
	table := uint64(le.Uint32(p[8:]))
	if s.descSize >= 64 {
		table |= uint64(le.Uint32(p[0x28:])) << 32
	}
	return table, nil
}

// descBlock is the block with the nr-th part of the descriptors: behind the
// superblock, or with meta_bg in the first of the groups that it is about.
func (s *super) descBlock(nr uint64) uint64 {
	if s.incompat&incompatMetaBG == 0 || nr < uint64(s.firstMetaBG) {
		return superOffset/uint64(s.blockSize) + 1 + nr
	}
	group := nr * uint64(s.blockSize/s.descSize)
	at := group*uint64(s.blocksPerGroup) + uint64(s.firstBlock)
	if s.hasSuper(group) {
		at++
	}
	if group == 0 && s.blockSize == superOffset && s.firstBlock == 0 {
		at++ // bigalloc: the boot block has no group of its own
	}
	return at
}

// hasSuper reports whether a group starts with a copy of the superblock.
func (s *super) hasSuper(group uint64) bool {
	switch {
	case group == 0:
		return true
	case s.compat&compatSparseSuper2 != 0:
		return group == uint64(s.backups[0]) || group == uint64(s.backups[1])
	case group == 1 || s.ro&roCompatSparseSuper == 0:
		return true
	}
	return powerOf(group, 3) || powerOf(group, 5) || powerOf(group, 7)
}

func powerOf(n, base uint64) bool {
	for n%base == 0 {
		n /= base
	}
	return n == 1
}
