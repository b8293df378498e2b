package tar

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strconv"
	"strings"

	"github.com/fsva/fsva/adapters/tree"
	"github.com/fsva/fsva/vfs"
)

// records are what an extended header says of the member behind it, or of all
// that follow (POSIX pax, "pax Extended Header"). An empty value takes back what
// an earlier header said.
type records map[string]string

// Keywords.
const (
	paxPath     = "path"
	paxLink     = "linkpath"
	paxSize     = "size"
	paxUID      = "uid"
	paxGID      = "gid"
	paxMtime    = "mtime"
	paxXattr    = "SCHILY.xattr."     // star and GNU: the value as it is
	paxXattrBSD = "LIBARCHIVE.xattr." // libarchive: name and value encoded
	paxACL      = "SCHILY.acl.access"

	// Of sparse files, by GNU ("Storing Sparse Files" in its manual).
	paxSparseName     = "GNU.sparse.name"
	paxSparseSize     = "GNU.sparse.size"
	paxSparseRealSize = "GNU.sparse.realsize"
	paxSparseMajor    = "GNU.sparse.major"
	paxSparseMinor    = "GNU.sparse.minor"
	paxSparseMap      = "GNU.sparse.map"
	paxSparseOffset   = "GNU.sparse.offset"   // once for each extent
	paxSparseBytes    = "GNU.sparse.numbytes" // behind it
)

var errRecord = errors.New("an extended header is malformed")

// parseRecords reads "LENGTH KEYWORD=VALUE\n" as often as it is there.
func parseRecords(p string) (records, error) {
	r := records{}
	var extents []string
	for len(p) > 0 {
		if strings.Trim(p, "\x00") == "" { // as some programs fill them up
			break
		}
		digits, _, ok := strings.Cut(p, " ")
		n, err := strconv.Atoi(digits)
		if !ok || err != nil || n <= len(digits)+1 || n > len(p) || p[n-1] != '\n' {
			return nil, errRecord
		}
		key, value, ok := strings.Cut(p[len(digits)+1:n-1], "=")
		if !ok || key == "" {
			return nil, errRecord
		}
		p = p[n:]
		if key == paxSparseOffset || key == paxSparseBytes {
			extents = append(extents, value)
			continue
		}
		r[key] = value
	}
	if len(extents) > 0 {
		r[paxSparseMap] = strings.Join(extents, ",")
	}
	return r, nil
}

// over are the records of one member with those for all before it.
func (r records) over(global records) records {
	if len(global) == 0 {
		return r
	}
	all := maps.Clone(global)
	maps.Copy(all, r)
	return all
}

// size is how many bytes of content a header says there are.
func (r records) size(b *block) (int64, error) {
	n, err := number(b.raw(fieldSize))
	if s := r[paxSize]; s != "" {
		if n, err = decimal(s); err != nil {
			return 0, fmt.Errorf("a size of %.40q: %w", s, err)
		}
	}
	if err == nil && n < 0 {
		err = errNumber
	}
	return n, err
}

func decimal(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0, errNumber
	}
	return int64(n), nil
}

// overflowID stands for users and groups whose number is none, as in Linux.
const overflowID = 65534

// id is the number of a user or group.
func (r records) id(key string, raw []byte) uint32 {
	n, err := number(raw)
	if s := r[key]; s != "" {
		n, err = strconv.ParseInt(s, 10, 64)
	}
	if err != nil || n < 0 || n >= 1<<32-1 {
		return overflowID
	}
	return uint32(n)
}

// mtime is when the member was written to: seconds, with a fraction in records.
func (r records) mtime(b *block) (vfs.Timespec, error) {
	s := r[paxMtime]
	if s == "" {
		n, err := number(b.raw(fieldMtime))
		return vfs.Timespec{Sec: n}, err
	}
	whole, fraction, _ := strings.Cut(s, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || strings.Trim(fraction, "0123456789") != "" {
		return vfs.Timespec{}, fmt.Errorf("a time of %.40q: %w", s, errNumber)
	}
	nsec, _ := strconv.ParseUint((fraction + "000000000")[:9], 10, 32)
	if strings.HasPrefix(whole, "-") && nsec > 0 && sec > -1<<63 {
		sec, nsec = sec-1, 1e9-nsec
	}
	return vfs.Timespec{Sec: sec, Nsec: uint32(nsec)}, nil
}

// xattrs are the extended attributes by name.
func (r records) xattrs() map[string][]byte {
	var all map[string][]byte
	add := func(name string, value []byte) {
		if all == nil {
			all = map[string][]byte{}
		}
		all[name] = value
	}
	for key, value := range r {
		if coded, ok := strings.CutPrefix(key, paxXattrBSD); ok {
			name, err := url.PathUnescape(coded)
			plain, err2 := base64.RawStdEncoding.DecodeString(strings.TrimRight(value, "="))
			if _, said := r[paxXattr+name]; err == nil && err2 == nil && !said {
				add(name, plain)
			}
		}
		if name, ok := strings.CutPrefix(key, paxXattr); ok {
			add(name, []byte(value))
		}
	}
	return all
}

// restrict takes from a mode what an access control list keeps from somebody,
// since lists are not enforced.
func (r records) restrict(mode uint32, xattrs map[string][]byte) uint32 {
	if acl, ok := xattrs[tree.AccessACL]; ok {
		mode = tree.RestrictMode(mode, acl, false)
	}
	if text := r[paxACL]; text != "" {
		mode = tree.RestrictMode(mode, binaryACL(text), false)
	}
	return mode
}

// binaryACL is a list in text, as acl(5) has it, in the form of the kernel; none
// if it is malformed.
func binaryACL(text string) []byte {
	acl := []byte{2, 0, 0, 0}
	for entry := range strings.FieldsFuncSeq(text, func(c rune) bool { return c == ',' || c == '\n' }) {
		part := strings.SplitN(strings.TrimSpace(entry), ":", 4) // star puts the number of the user behind
		if len(part) < 3 {
			return nil
		}
		tag := map[string]byte{"user": 0x01, "group": 0x04, "mask": 0x10, "other": 0x20}[part[0]]
		if part[1] != "" {
			tag <<= 1 // of one user or group
		}
		perm := byte(0)
		for bit, c := range map[byte]string{4: "r", 2: "w", 1: "x"} {
			if strings.Contains(part[2], c) {
				perm |= bit
			}
		}
		if tag == 0 || tag > 0x20 {
			return nil
		}
		acl = append(acl, tag, 0, perm, 0, 0xff, 0xff, 0xff, 0xff)
	}
	return acl
}
