package ext4

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"math"
	"math/bits"

	"github.com/fsva/fsva/adapters/image/disk"
	"github.com/fsva/fsva/vfs"
)

var le = binary.LittleEndian

// Where the superblock is, whatever the block size.
const (
	superOffset = 1024
	superSize   = 1024
	magicOffset = 0x38
	magic       = 0xEF53
)

// Probe reports whether the start of a device, at least 2 KiB of it, is that of
// an ext2, ext3 or ext4 file system.
func Probe(start []byte) bool {
	return len(start) >= superOffset+superSize && le.Uint16(start[superOffset+magicOffset:]) == magic
}

// super is what the superblock says.
type super struct {
	blocks, freeBlocks        uint64
	inodes, freeInodes        uint32
	firstBlock, firstInode    uint32
	blockSize, blocksPerGroup uint32
	inodesPerGroup, inodeSize uint32
	descSize, firstMetaBG     uint32
	compat, incompat, ro      uint32
	state                     uint16
	backups                   [2]uint32 // groups with one under sparse_super2
	seed                      uint32    // of checksums
}

// Values of s_state.
const (
	stateClean  = 1
	stateErrors = 2
)

const (
	minInodeSize  = 128
	maxBlockSize  = 64 << 10
	maxGroups     = 1 << 22 // of 128 MiB each with usual blocks
	rootInode     = 2
	oldFirstInode = 11
)

func readSuper(dev io.ReaderAt, size int64) (*super, error) {
	p := make([]byte, superSize)
	if size < superOffset+superSize {
		return nil, disk.Corrupt("the image is too short for a superblock")
	}
	if err := disk.ReadFull(dev, p, superOffset); err != nil {
		return nil, err
	}
	if le.Uint16(p[magicOffset:]) != magic {
		return nil, vfs.Errorf(vfs.EINVAL, "there is no ext2, ext3 or ext4 file system")
	}
	s := parseSuper(p)
	if err := checkFeatures(s.incompat); err != nil {
		return nil, err
	}
	if s.checksums() && le.Uint32(p[0x3FC:]) != sum(math.MaxUint32, p[:0x3FC]) {
		return nil, disk.Corrupt("the checksum of the superblock is wrong; run e2fsck on the image")
	}
	return s, s.check(size)
}

func parseSuper(p []byte) *super {
	s := &super{
		inodes: le.Uint32(p), freeInodes: le.Uint32(p[0x10:]), firstBlock: le.Uint32(p[0x14:]),
		blocksPerGroup: le.Uint32(p[0x20:]), inodesPerGroup: le.Uint32(p[0x28:]), state: le.Uint16(p[0x3A:]),
		inodeSize: minInodeSize, firstInode: oldFirstInode, descSize: 32, firstMetaBG: le.Uint32(p[0x104:]),
		backups: [2]uint32{le.Uint32(p[0x24C:]), le.Uint32(p[0x250:])},
		blocks:  uint64(le.Uint32(p[4:])), freeBlocks: uint64(le.Uint32(p[0xC:])),
	}
	if log := le.Uint32(p[0x18:]); log <= 6 {
		s.blockSize = 1024 << log
	}
	if le.Uint32(p[0x4C:]) > 0 { // revision 0 has neither features nor large inodes
		s.firstInode, s.inodeSize = le.Uint32(p[0x54:]), uint32(le.Uint16(p[0x58:]))
		s.compat, s.incompat, s.ro = le.Uint32(p[0x5C:]), le.Uint32(p[0x60:]), le.Uint32(p[0x64:])
	}
	if s.incompat&incompat64bit != 0 {
		s.descSize = uint32(le.Uint16(p[0xFE:]))
		s.blocks |= uint64(le.Uint32(p[0x150:])) << 32
		s.freeBlocks |= uint64(le.Uint32(p[0x158:])) << 32
	}
	s.seed = sum(math.MaxUint32, p[0x68:0x78]) // the UUID
	if s.incompat&incompatCsumSeed != 0 {
		s.seed = le.Uint32(p[0x270:])
	}
	return s
}

// check refuses a geometry that cannot be.
func (s *super) check(size int64) error {
	switch {
	case s.blockSize == 0:
		return disk.Corrupt("the block size is none that ext4 has")
	case s.inodeSize < minInodeSize || s.inodeSize > s.blockSize || bits.OnesCount32(s.inodeSize) != 1:
		return disk.Corrupt("inodes cannot have %d bytes", s.inodeSize)
	case s.descSize < 32 || s.descSize > 1024 || bits.OnesCount32(s.descSize) != 1 || s.incompat&incompat64bit != 0 && s.descSize < 64:
		return disk.Corrupt("group descriptors cannot have %d bytes", s.descSize)
	case s.blocksPerGroup == 0 || s.inodesPerGroup == 0 || s.blocks == 0 || uint64(s.firstBlock) >= s.blocks || s.firstBlock > 1:
		return disk.Corrupt("the geometry in the superblock makes no sense")
	case s.blocks > uint64(size)/uint64(s.blockSize):
		return disk.Corrupt("the file system has %d blocks of %d bytes, but the image has only %d bytes: it is cut short", s.blocks, s.blockSize, size)
	case s.groups() > maxGroups:
		return disk.Corrupt("%d groups are too many", s.groups())
	case uint64(s.inodes) > s.groups()*uint64(s.inodesPerGroup):
		return disk.Corrupt("the superblock counts more inodes than its groups have")
	}
	return nil
}

func (s *super) groups() uint64 {
	per := uint64(s.blocksPerGroup)
	return (s.blocks - uint64(s.firstBlock) + per - 1) / per
}

func (s *super) checksums() bool { return s.ro&roCompatMetadataCsum != 0 }

// served reports whether an inode may be a file that users see: the root, or
// none of those that are the file system's own.
func (s *super) served(number uint32) bool {
	return number == rootInode || number >= max(s.firstInode, oldFirstInode) && number <= s.inodes
}

// maxFileSize is that of files with extents, whose blocks have 32 bits.
func (s *super) maxFileSize() uint64 { return math.MaxUint32 * uint64(s.blockSize) }

func (s *super) granularity() uint32 {
	if s.inodeSize > minInodeSize {
		return 1
	}
	return 1e9
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sum is crc32c as ext4 has it: without inversion at either end.
func sum(seed uint32, p []byte) uint32 { return ^crc32.Update(^seed, castagnoli, p) }

// sum32 goes on with a number.
func sum32(seed, n uint32) uint32 { return sum(seed, le.AppendUint32(nil, n)) }
