package fat

import (
	"strings"
	"time"
	"unicode/utf16"

	"github.com/fsva/fsva/adapters/image/disk"
	"github.com/fsva/fsva/adapters/tree"
	"github.com/fsva/fsva/vfs"
)

const (
	entrySize = 32
	// maxDirectory is what one can have (fatgen103: 65536 entries).
	maxDirectory = 65536 * entrySize
	maxDepth     = 2048
)

// Attributes of an entry.
const (
	isReadOnly  = 0x01
	isVolume    = 0x08
	isDirectory = 0x10
	longName    = 0x0F
)

// walk adds all of a volume to a tree.
type walk struct {
	volume *volume
	b      *tree.Builder
	seen   map[uint32]bool // directories, by their first clusters
}

// root adds all there is.
func (w *walk) root(fixed disk.Extent) error {
	if w.volume.bits == 32 {
		return w.directory("", w.volume.rootCluster, 0)
	}
	return w.entries("", []disk.Extent{fixed}, 0)
}

func (w *walk) directory(path string, cluster uint32, depth int) error {
	if w.seen[cluster] || depth > maxDepth {
		return disk.Corrupt("the directory at cluster %d is in several directories", cluster)
	}
	w.seen[cluster] = true
	list, err := w.volume.chain(cluster, maxDirectory)
	if err != nil {
		return err
	}
	return w.entries(path, list, depth)
}

// entries adds what the entries in a list of places stand for.
func (w *walk) entries(path string, places []disk.Extent, depth int) error {
	var long longEntry
	for _, place := range places {
		p := make([]byte, place.Size)
		if err := disk.ReadFull(w.volume.dev, p, place.Off); err != nil {
			return err
		}
		for ; len(p) >= entrySize; p = p[entrySize:] {
			e := p[:entrySize]
			switch {
			case e[0] == 0:
				return nil
			case e[0] == 0xE5:
				long = longEntry{}
			case e[11]&0x3F == longName:
				long.add(e)
			default:
				name := long.name(e)
				long = longEntry{}
				if e[11]&isVolume != 0 || vfs.CheckName(name) != nil {
					continue // the label, "." or ".."
				}
				if err := w.add(path+"/"+name, e, depth); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// add adds what an entry stands for. Everybody may read everything, as Linux has
// it without options.
func (w *walk) add(path string, p []byte, depth int) error {
	cluster := uint32(le.Uint16(p[26:]))
	if w.volume.bits == 32 {
		cluster |= uint32(le.Uint16(p[20:])) << 16
	}
	size := le.Uint32(p[28:])
	e := tree.Entry{
		Path: path, Type: vfs.TypeRegular, Mode: 0o755, Mtime: timeOf(le.Uint16(p[24:]), le.Uint16(p[22:])),
		Size: uint64(size), Item: uint64(cluster)<<32 | uint64(size),
	}
	if p[11]&isReadOnly != 0 {
		e.Mode = 0o555
	}
	if p[11]&isDirectory == 0 {
		return w.b.Add(e)
	}
	e.Type, e.Size, e.Mode = vfs.TypeDirectory, 0, 0o755
	if err := w.b.Add(e); err != nil {
		return err
	}
	return w.directory(path, cluster, depth+1)
}

// timeOf is a date and a time in steps of two seconds, in no zone: UTC.
func timeOf(date, clock uint16) vfs.Timespec {
	return vfs.TimespecOf(time.Date(1980+int(date>>9), time.Month(date>>5&15), int(date&31),
		int(clock>>11), int(clock>>5&63), int(clock&31)*2, 0, time.UTC))
}

// longEntry is a long name that is put together of the entries before its file's,
// the last part first.
type longEntry struct {
	units []uint16
	next  byte // the number of the part that has to come
	sum   byte
}

const (
	lastPart  = 0x40
	partUnits = 13
	maxParts  = 20
)

func (l *longEntry) add(e []byte) {
	number := e[0] &^ lastPart
	if e[0]&lastPart != 0 {
		*l = longEntry{next: number, sum: e[13]}
	}
	if number == 0 || number > maxParts || number != l.next || e[13] != l.sum {
		*l = longEntry{}
		return
	}
	l.next--
	part := make([]uint16, 0, partUnits+len(l.units))
	for _, at := range []int{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30} {
		part = append(part, le.Uint16(e[at:]))
	}
	l.units = append(part, l.units...)
}

// name is the name of a file: the long one if it belongs to the entry.
func (l *longEntry) name(e []byte) string {
	if len(l.units) == 0 || l.next != 0 || l.sum != checksum(e[:11]) {
		return shortName(e)
	}
	units := l.units
	for i, u := range units {
		if u == 0 {
			units = units[:i]
			break
		}
	}
	return string(utf16.Decode(units))
}

// checksum ties a long name to a short one (fatgen103).
func checksum(name []byte) (sum byte) {
	for _, c := range name {
		sum = sum<<7 | sum>>1
		sum += c
	}
	return sum
}

// Bits by which a short name is in lower case (Linux's CASE_LOWER_BASE, _EXT).
const (
	lowerBase      = 0x08
	lowerExtension = 0x10
)

// shortName is the name of eight bytes and three.
func shortName(e []byte) string {
	p := []byte(string(e[:11]))
	if p[0] == 0x05 {
		p[0] = 0xE5
	}
	base, extension := strings.TrimRight(decode(p[:8]), " "), strings.TrimRight(decode(p[8:]), " ")
	if e[12]&lowerBase != 0 {
		base = strings.ToLower(base)
	}
	if e[12]&lowerExtension != 0 {
		extension = strings.ToLower(extension)
	}
	if extension == "" {
		return base
	}
	return base + "." + extension
}

// high are the characters of code page 437 from 0x80 on, in which short names are.
var high = []rune("ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0")

func decode(p []byte) string {
	var b strings.Builder
	for _, c := range p {
		if c < 0x80 {
			b.WriteByte(c)
		} else {
			b.WriteRune(high[c-0x80])
		}
	}
	return b.String()
}
