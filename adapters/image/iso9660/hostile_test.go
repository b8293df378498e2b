package iso9660

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/fsva/fsva/vfs"
)

// made is a record that programs would not write, of 64 bytes.
func made(name string, flags byte, sector, size int) record {
	r := make(record, 64)
	r[0], r[25], r[32] = byte(len(r)), flags, byte(len(name))
	le.PutUint32(r[2:], uint32(sector))
	le.PutUint32(r[10:], uint32(size))
	copy(r[recordHeader:], name)
	return r
}

// rootSector is where the root directory is, behind two volume descriptors.
const rootSector = 18

// opened is what comes of opening an image of these sectors, the first of which are
// the root directory.
func opened(root int, sectors []byte) error {
	p := make([]byte, rootSector*sectorSize)
	for i, typ := range []byte{primary, terminator} {
		v := p[firstVolume+i*sectorSize:]
		v[0] = typ
		copy(v[1:], "CD001")
		le.PutUint16(v[128:], sectorSize)
		copy(v[156:190], made("\x00", isDirectory, rootSector, root*sectorSize))
	}
	p = append(p, sectors...)
	f, err := Open(bytes.NewReader(p), int64(len(p)), Options{Log: zerolog.Nop(), Closer: io.NopCloser(nil)})
	if err == nil {
		err = f.Close()
	}
	return err
}

// inSectors puts records into sectors, 31 in each behind one of the directory itself.
func inSectors(records []record) (p []byte) {
	for part := range slices.Chunk(records, 31) {
		sector := slices.Concat(append([]record{made("\x00", isDirectory, 0, 0)}, part...)...)
		p = append(p, sector...)
		p = append(p, make([]byte, -len(sector)&(sectorSize-1))...)
	}
	return p
}

// sections are the records of one file.
func sections(n int) (file []record) {
	for i := range n {
		flags := byte(goesOn)
		if i == n-1 {
			flags = 0
		}
		file = append(file, made("file", flags, rootSector, 1))
	}
	return file
}

func TestAFileHasABoundedNumberOfSections(t *testing.T) {
	for n, want := range map[int]error{maxSections: nil, maxSections + 1: vfs.EIO} {
		p := inSectors(sections(n))
		if err := opened(len(p)/sectorSize, p); vfs.ErrnoOf(err) != vfs.ErrnoOf(want) {
			t.Errorf("a file of %d sections: %v", n, err)
		}
	}
	v := &volume{sections: maxAllSections - 1}
	if _, err := v.section(nil, made("last", 0, 0, 0)); err != nil {
		t.Error(err)
	}
	if _, err := v.section(nil, made("one more", 0, 0, 0)); vfs.ErrnoOf(err) != vfs.EFBIG {
		t.Errorf("one section more than all may have: %v", err)
	}
}

// Directories that are each the end of one another are not read as often as there
// are directories.
func TestDirectoriesInThePlaceOfOthersAreEIO(t *testing.T) {
	const apart, over = 2, 64
	for _, size := range []int{1, over} { // of the directories, in sectors
		var root []record
		shared := inSectors(sections(over * 31))
		first := rootSector + apart
		for i := range over - 2 {
			root = append(root, made(fmt.Sprint("d", i), isDirectory, first+i, min(size, over-i)*sectorSize))
		}
		p := append(inSectors(root), shared...)
		err := opened(apart, p)
		if size == 1 && err != nil {
			t.Errorf("directories behind one another: %v", err)
		}
		if size > 1 && (vfs.ErrnoOf(err) != vfs.EIO || !strings.Contains(err.Error(), "in the place of others")) {
			t.Errorf("directories in the place of others: %v", err)
		}
	}
}
