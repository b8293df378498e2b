// Package fat reads FAT12, FAT16 and FAT32 file systems as a tree of package tree:
// all directories once, to index them, and the clusters of a file when somebody
// reads it. It follows Microsoft's specification (fatgen103) and, in names and
// modes, Linux's vfat.
//
// What is read is hostile. A chain of clusters is as long as the file system has
// clusters at most, and a directory is read once, so that loops end.
package fat

import (
	"context"
	"encoding/binary"
	"io"

	"github.com/rs/zerolog"

	"github.com/fsva/fsva/adapters/image/disk"
	"github.com/fsva/fsva/adapters/lru"
	"github.com/fsva/fsva/adapters/tree"
)

var le = binary.LittleEndian

const bootSize = 512

// Probe reports whether the start of a device is the boot sector of a FAT file
// system: a jump, the signature, and numbers that one can have.
func Probe(start []byte) bool {
	if len(start) < bootSize || start[510] != 0x55 || start[511] != 0xAA || start[0] != 0xEB && start[0] != 0xE9 {
		return false
	}
	_, err := parse(start)
	return err == nil
}

// volume is what the boot sector says.
type volume struct {
	dev         io.ReaderAt
	cluster     int64 // bytes
	fat, fatEnd int64 // the first table, in bytes
	root        int64 // the fixed root directory of FAT12 and FAT16
	rootSize    int64
	rootCluster uint32 // that of FAT32
	data        int64  // where cluster 2 is
	clusters    uint32
	bits        int // of an entry of the table: 12, 16 or 32
	end         int64
}

// Options say what a file system is served as.
type Options struct {
	Fingerprint tree.Fingerprint
	Log         zerolog.Logger
	// Closer is closed with the FS.
	Closer io.Closer
}

// Clusters by which the kind of table is told.
const (
	fewest16 = 4085
	fewest32 = 65525
)

func parse(p []byte) (*volume, error) {
	sector, perCluster := int64(le.Uint16(p[11:])), int64(p[13])
	reserved, tables, entries := int64(le.Uint16(p[14:])), int64(p[16]), int64(le.Uint16(p[17:]))
	total, table := int64(le.Uint16(p[19:])), int64(le.Uint16(p[22:]))
	if total == 0 {
		total = int64(le.Uint32(p[32:]))
	}
	if table == 0 {
		table = int64(le.Uint32(p[36:]))
	}
	rootSectors := int64(0)
	if sector != 0 {
		rootSectors = (entries*entrySize + sector - 1) / sector
	}
	first := reserved + tables*table + rootSectors
	if sector < 512 || sector > 4096 || sector&(sector-1) != 0 || perCluster == 0 || perCluster&(perCluster-1) != 0 ||
		reserved == 0 || tables == 0 || table == 0 || total <= first {
		return nil, disk.Corrupt("the geometry in the boot sector makes no sense")
	}
	v := &volume{
		cluster: perCluster * sector, fat: reserved * sector, fatEnd: (reserved + table) * sector,
		root: (reserved + tables*table) * sector, rootSize: entries * entrySize, data: first * sector,
		clusters: uint32((total - first) / perCluster), end: total * sector,
	}
	switch {
	case entries == 0 || v.clusters >= fewest32:
		v.bits, v.rootCluster = 32, le.Uint32(p[44:])
	case v.clusters >= fewest16:
		v.bits = 16
	default:
		v.bits = 12
	}
	return v, nil
}

// Open opens the file system on a device of size bytes. If it fails the caller
// closes what opt has.
func Open(dev io.ReaderAt, size int64, opt Options) (*tree.FS, error) {
	p := make([]byte, bootSize)
	if err := disk.ReadFull(dev, p, 0); err != nil {
		return nil, err
	}
	v, err := parse(p)
	if err != nil {
		return nil, err
	}
	if v.dev = dev; v.end > size {
		return nil, disk.Corrupt("the file system has %d bytes, but the image has only %d: it is cut short", v.end, size)
	}
	w := &walk{volume: v, b: tree.NewBuilder(tree.Options{Log: opt.Log}), seen: map[uint32]bool{}}
	root := disk.Extent{Off: v.root, Size: v.rootSize}
	if err := w.root(root); err != nil {
		return nil, err
	}
	return w.b.Build(newSource(v, opt.Closer), opt.Fingerprint)
}

// next is the cluster behind one, 0 at the end of a chain.
func (v *volume) next(cluster uint32) (uint32, error) {
	off := v.fat + int64(cluster)*int64(v.bits)/8
	p := make([]byte, 4)
	if off+int64(v.bits+7)/8 > v.fatEnd {
		return 0, disk.Corrupt("the table has no entry for cluster %d", cluster)
	}
	if err := disk.ReadFull(v.dev, p[:(v.bits+7)/8], off); err != nil {
		return 0, err
	}
	n, last := le.Uint32(p), uint32(0xFFFFFF8)
	switch v.bits {
	case 12:
		n, last = n>>(4*(cluster&1))&0xFFF, 0xFF8
	case 16:
		last = 0xFFF8
	case 32:
		n &= 0xFFFFFFF
	}
	if n >= last {
		return 0, nil
	}
	return n, nil
}

// chain is where the clusters from one on are, of limit bytes at most.
func (v *volume) chain(cluster uint32, limit int64) ([]disk.Extent, error) {
	var list []disk.Extent
	for n := uint32(0); limit > 0 && cluster != 0; n++ {
		if cluster < 2 || cluster-2 >= v.clusters || n > v.clusters {
			return nil, disk.Corrupt("a chain leads to cluster %d of %d, or nowhere", cluster, v.clusters)
		}
		off, size := v.data+int64(cluster-2)*v.cluster, min(v.cluster, limit)
		if k := len(list) - 1; k >= 0 && list[k].Off+list[k].Size == off {
			list[k].Size += size
		} else {
			list = append(list, disk.Extent{Off: off, Size: size})
		}
		limit -= size
		var err error
		if cluster, err = v.next(cluster); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// source is the content of files, by first cluster and size. It implements
// tree.Source.
type source struct {
	volume *volume
	closer io.Closer
	files  *lru.Cache[uint64, *disk.File]
}

// listRoom bounds the chains that are kept, in bytes.
const listRoom = 16 << 20

func newSource(v *volume, closer io.Closer) *source {
	return &source{v, closer, lru.New[uint64](listRoom, (*disk.File).Memory)}
}

// Open implements tree.Source.
func (s *source) Open(_ context.Context, item uint64) (tree.Content, error) {
	if c, ok := s.files.Get(item); ok {
		return c, nil
	}
	size := int64(item & (1<<32 - 1))
	list, err := s.volume.chain(uint32(item>>32), size)
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		size -= e.Size
	}
	if size != 0 {
		return nil, disk.Corrupt("a file ends %d bytes before its end", size)
	}
	c := disk.NewFile(s.volume.dev, list)
	s.files.Add(item, c)
	return c, nil
}

// Close implements tree.Source.
func (s *source) Close() error { return s.closer.Close() }
