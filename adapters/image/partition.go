package image

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/fsva/fsva/vfs"
)

var le = binary.LittleEndian

// partition is a part of an image, in bytes.
type partition struct {
	number     int
	off, bytes int64
	name       string // of GPT
}

func (p partition) section(whole *io.SectionReader) *io.SectionReader {
	return io.NewSectionReader(whole, p.off, p.bytes)
}

// errNoTable says that there are no partitions.
var errNoTable = errors.New("no partition table")

// partitions reads the table of an image: GPT (UEFI 2.10 §5.3), else that of the
// master boot record. A partition that is not all in the image is an error when it
// is asked for, and not before.
func partitions(whole *io.SectionReader) ([]partition, error) {
	for _, sector := range []int64{512, 4096} {
		parts, err := gpt(whole, sector)
		if !errors.Is(err, errNoTable) {
			return parts, err
		}
	}
	parts, err := mbr(whole)
	if errors.Is(err, errNoTable) {
		return nil, vfs.Errorf(vfs.EOPNOTSUPP, "there is neither a file system nor a partition table in it that is known here; known are %s", known())
	}
	return parts, err
}

// pick returns the partition of a number, or the only one for 0.
func pick(whole *io.SectionReader, parts []partition, number int) (partition, error) {
	if len(parts) == 0 {
		return partition{}, vfs.Errorf(vfs.EINVAL, "its partition table is empty")
	}
	i := 0
	switch {
	case number == 0 && len(parts) > 1:
		return partition{}, vfs.Errorf(vfs.EINVAL, "it has %d partitions; say which with ?part=N: %s", len(parts), list(whole, parts))
	case number != 0:
		i = slices.IndexFunc(parts, func(p partition) bool { return p.number == number })
	}
	if i < 0 {
		return partition{}, vfs.Errorf(vfs.EINVAL, "it has no partition %d, but: %s", number, list(whole, parts))
	}
	p := parts[i]
	if p.off < 0 || p.bytes <= 0 || p.off > whole.Size() || p.bytes > whole.Size()-p.off {
		return p, vfs.Errorf(vfs.EIO, "partition %d ends behind the end of the image: it is cut short", p.number)
	}
	return p, nil
}

// list tells of partitions for people: number, size, what is in it and its name.
func list(whole *io.SectionReader, parts []partition) string {
	var texts []string
	for _, p := range parts {
		what := "unknown"
		if f, err := detect(p.section(whole)); err == nil && f != nil {
			what = f.name
		}
		text := fmt.Sprintf("%d (%d MiB, %s", p.number, p.bytes>>20, what)
		if p.name != "" {
			text += fmt.Sprintf(", %q", p.name)
		}
		texts = append(texts, text+")")
	}
	return strings.Join(texts, ", ")
}

// What is read of a table at most.
const (
	maxGPT     = 1024
	maxLogical = 128
)

// gpt reads the table whose header is in the second sector.
func gpt(whole *io.SectionReader, sector int64) ([]partition, error) {
	h := make([]byte, 512)
	if _, err := whole.ReadAt(h, sector); err != nil || string(h[:8]) != "EFI PART" {
		return nil, errNoTable
	}
	size := le.Uint32(h[12:])
	want := le.Uint32(h[16:])
	count, each := le.Uint32(h[80:]), le.Uint32(h[84:])
	damaged := vfs.Errorf(vfs.EIO, "the GPT partition table is damaged; sgdisk or gdisk can make it again from its copy")
	if size < 92 || size > 512 {
		return nil, damaged
	}
	clear(h[16:20])
	if crc32.ChecksumIEEE(h[:size]) != want || count > maxGPT || each < 128 || each > 4096 {
		return nil, damaged
	}
	table := make([]byte, count*each)
	start := le.Uint64(h[72:])
	if start > uint64(whole.Size()/sector) {
		return nil, damaged
	}
	if _, err := whole.ReadAt(table, int64(start)*sector); err != nil || crc32.ChecksumIEEE(table) != le.Uint32(h[88:]) {
		return nil, damaged
	}
	var parts []partition
	for i := range int(count) {
		e := table[i*int(each):][:each]
		if [16]byte(e) == ([16]byte{}) {
			continue
		}
		first, last := le.Uint64(e[32:]), le.Uint64(e[40:])
		p := partition{number: i + 1, off: -1, name: utf16Name(e[56:128])}
		if last >= first && last < uint64(1<<62/sector) {
			p.off, p.bytes = int64(first)*sector, int64(last-first+1)*sector
		}
		parts = append(parts, p)
	}
	return parts, nil
}

func utf16Name(p []byte) string {
	var units []uint16
	for ; len(p) >= 2 && le.Uint16(p) != 0; p = p[2:] {
		units = append(units, le.Uint16(p))
	}
	return string(utf16.Decode(units))
}

// mbrSector is what the table of a master boot record counts in.
const mbrSector = 512

// slot is an entry of a master boot record.
type slot struct {
	typ          byte
	first, count int64 // in sectors
}

func (s slot) extended() bool { return s.typ == 0x05 || s.typ == 0x0F || s.typ == 0x85 }

// mbrSlots reads the four entries of a boot record.
func mbrSlots(whole *io.SectionReader, sector int64) (slots [4]slot, err error) {
	p := make([]byte, mbrSector)
	if _, err := whole.ReadAt(p, sector*mbrSector); err != nil || p[510] != 0x55 || p[511] != 0xAA {
		return slots, errNoTable
	}
	for i := range slots {
		e := p[446+16*i:][:16]
		if e[0]&0x7F != 0 {
			return slots, errNoTable // the flag is 0 or 0x80: this is code
		}
		slots[i] = slot{e[4], int64(le.Uint32(e[8:])), int64(le.Uint32(e[12:]))}
	}
	return slots, nil
}

// mbr reads the four partitions of a master boot record, and from 5 on those in
// the chain of an extended one.
func mbr(whole *io.SectionReader) ([]partition, error) {
	slots, err := mbrSlots(whole, 0)
	if err != nil {
		return nil, err
	}
	var parts []partition
	var chain []int64
	for i, s := range slots {
		switch {
		case s.typ == 0 || s.count == 0:
		case s.extended():
			chain = append(chain, s.first)
		default:
			parts = append(parts, partition{number: i + 1, off: s.first * mbrSector, bytes: s.count * mbrSector})
		}
	}
	for _, start := range chain {
		parts = logical(whole, start, parts)
	}
	return parts, nil
}

// logical adds the partitions of an extended one: each has a boot record of its
// own with the partition and the place of the next record.
func logical(whole *io.SectionReader, start int64, parts []partition) []partition {
	number := 5
	for _, p := range parts {
		number = max(number, p.number+1)
	}
	for at := start; number < 5+maxLogical; number++ {
		slots, err := mbrSlots(whole, at)
		if err != nil {
			return parts
		}
		if s := slots[0]; s.typ != 0 && s.count != 0 {
			parts = append(parts, partition{number: number, off: (at + s.first) * mbrSector, bytes: s.count * mbrSector})
		}
		if !slots[1].extended() {
			return parts
		}
		at = start + slots[1].first
	}
	return parts
}
