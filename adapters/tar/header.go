package tar

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/fsva/fsva/vfs"
)

// blockSize is what everything in an archive is a multiple of.
const blockSize = 512

// Kinds of members, by the flag in their headers (POSIX pax, "ustar Interchange
// Format"; the letters are GNU's but for x and g, and Solaris' X).
const (
	kindRegular    = '0'
	kindOldRegular = 0
	kindHardLink   = '1'
	kindSymlink    = '2'
	kindChar       = '3'
	kindBlock      = '4'
	kindDirectory  = '5'
	kindFIFO       = '6'
	kindContiguous = '7'
	kindPax        = 'x'
	kindPaxSolaris = 'X'
	kindPaxGlobal  = 'g'
	kindLongName   = 'L'
	kindLongLink   = 'K'
	kindSparse     = 'S'
	kindDumpDir    = 'D' // a directory, with a list of names as its content
	kindVolume     = 'V' // the label of the volume
	kindMultiPart  = 'M' // goes on with a file of another volume
)

// field is where a field of a header lies.
type field struct{ off, size int }

var (
	fieldName     = field{0, 100}
	fieldMode     = field{100, 8}
	fieldUID      = field{108, 8}
	fieldGID      = field{116, 8}
	fieldSize     = field{124, 12}
	fieldMtime    = field{136, 12}
	fieldChecksum = field{148, 8}
	fieldKind     = field{156, 1}
	fieldLink     = field{157, 100}
	fieldMagic    = field{257, 8} // with the version
	fieldMajor    = field{329, 8}
	fieldMinor    = field{337, 8}
	fieldPrefix   = field{345, 155}
	fieldStar     = field{508, 4} // "tar\0" in archives of star, whose prefix is shorter

	fieldSparse   = field{386, 4 * sparseEntry} // of GNU's old format
	fieldExtended = field{482, 1}
	fieldRealSize = field{483, 12}
)

// block is a header.
type block [blockSize]byte

func (b *block) raw(f field) []byte { return b[f.off : f.off+f.size] }

func (b *block) text(f field) string {
	p, _, _ := bytes.Cut(b.raw(f), []byte{0})
	return string(p)
}

func (b *block) kind() byte { return b[fieldKind.off] }

func (b *block) zero() bool { return *b == block{} }

// summed checks the checksum. Some old programs took bytes for signed.
func (b *block) summed() bool {
	want, err := number(b.raw(fieldChecksum))
	if err != nil {
		return false
	}
	var unsigned, signed int64
	for i, c := range b {
		if i >= fieldChecksum.off && i < fieldChecksum.off+fieldChecksum.size {
			c = ' '
		}
		unsigned += int64(c)
		signed += int64(int8(c))
	}
	return want == unsigned || want == signed
}

// posix tells headers that have prefixes from those of GNU and of Unix V7, which
// have something else there.
func (b *block) posix() bool { return bytes.HasPrefix(b.raw(fieldMagic), []byte("ustar\x00")) }

// path is the name, with what is before it.
func (b *block) path() string {
	name := b.text(fieldName)
	prefix := fieldPrefix
	if string(b.raw(fieldStar)) == "tar\x00" {
		prefix.size = 131
	}
	if before := b.text(prefix); b.posix() && before != "" {
		return before + "/" + name
	}
	return name
}

// device is the number of a device. What it cannot be is taken for 0.
func (b *block) device() vfs.Rdev {
	major, err1 := number(b.raw(fieldMajor))
	minor, err2 := number(b.raw(fieldMinor))
	if err1 != nil || err2 != nil || major < 0 || major > 1<<32-1 || minor < 0 || minor > 1<<32-1 {
		return vfs.Rdev{}
	}
	return vfs.Rdev{Major: uint32(major), Minor: uint32(minor)}
}

var errNumber = errors.New("a number in it is malformed or too large")

// number reads a field: octal digits among blanks, or, where the first bit is
// set, big-endian bytes in two's complement as GNU and star write what has too
// many digits.
func number(p []byte) (int64, error) {
	if len(p) > 0 && p[0]&0x80 != 0 {
		return binaryNumber(p)
	}
	s := strings.Trim(string(p), " \x00")
	var n int64
	for _, c := range []byte(s) {
		if c == 0 || c == ' ' { // what follows is not of the number
			break
		}
		if c < '0' || c > '7' || n > (1<<63-1)>>3 {
			return 0, errNumber
		}
		n = n<<3 | int64(c-'0')
	}
	return n, nil
}

func binaryNumber(p []byte) (int64, error) {
	first := p[0] & 0x7f
	n := int64(0)
	if first&0x40 != 0 { // the sign
		first |= 0x80
		n = -1
	}
	for i, c := range p {
		if i == 0 {
			c = first
		}
		if n > (1<<63-1)>>8 || n < -1<<63>>8 {
			return 0, errNumber
		}
		n = n<<8 | int64(c)
	}
	return n, nil
}

// damaged is what is wrong with the header at a place.
func damaged(at int64, err error) error {
	return fmt.Errorf("the archive is damaged: the header at byte %d: %w", at, err)
}

var errChecksum = errors.New("its checksum is wrong")
