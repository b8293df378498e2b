package tar

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/fsva/fsva/adapters/tree"
	"github.com/fsva/fsva/vfs"
)

// body is an archive, unpacked. Its methods may be called from many goroutines.
type body interface {
	// read fills p from off. n < len(p) with a nil error means that the
	// archive ends there.
	read(ctx context.Context, p []byte, off int64) (n int, err error)
}

var errShort = errors.New("the archive is cut short")

// full fills all of p.
func full(ctx context.Context, from body, p []byte, off int64) error {
	n, err := from.read(ctx, p, off)
	if err == nil && n < len(p) {
		return fmt.Errorf("%w: it ends at byte %d: %w", errShort, off+int64(n), vfs.EIO)
	}
	return err
}

const (
	maxRecords  = 4 << 20 // bytes of one extended header
	maxLongName = 64 << 10

	// maxSaid bounds what the headers for all members say of them, in bytes for
	// each member: they are read once and put into the index as often as there
	// are members. It is 256 bytes of as many as a tree can hold.
	maxSaid = 1 << 30
	// perRecord is what a record takes besides its text.
	perRecord = 32
)

// walker goes from member to member by the sizes in their headers, and reads
// nothing else.
type walker struct {
	ctx     context.Context
	body    body
	limit   int64 // of bytes in the archive
	past    error // what it is if there were more
	at      int64 // of the next header
	end     int64 // of the last content
	extents int   // that may still come
	global  records
	size    int64 // of these
	said    int64 // what they have said of members, see maxSaid
	marked  bool  // the archive has its end mark
}

// member is what is in an archive.
type member struct {
	entry  tree.Entry // but for its Item
	header int64      // where its own header is
	data   int64      // where its content is
	packed int64      // how long that is
	holes  bool       // it is sparse, and of these pieces:
	pieces sparse
}

// next returns the next member, io.EOF if there is none.
func (w *walker) next() (*member, error) {
	var own records
	name, link := "", ""
	for {
		b, m, err := w.header()
		if err != nil {
			return nil, err
		}
		switch b.kind() {
		case kindPax, kindPaxSolaris:
			own, err = w.records(m)
		case kindPaxGlobal:
			err = w.addGlobal(m)
		case kindLongName:
			name, err = w.longName(m)
		case kindLongLink:
			link, err = w.longName(m)
		case kindVolume:
			own, name, link = nil, "", ""
		default:
			var r records
			if r, err = w.all(own); err == nil {
				err = w.fill(m, b, r)
			}
			if err == nil {
				m.names(b, r, name, link)
				return m, nil
			}
		}
		if err == nil {
			err = w.skip(m)
		}
		if err != nil {
			return nil, w.because(m.header, err)
		}
	}
}

// because says where a header is wrong, unless it is not the header.
func (w *walker) because(at int64, err error) error {
	if errors.Is(err, errShort) || errors.Is(err, w.past) || vfs.ErrnoOf(err) == vfs.EAGAIN {
		return err
	}
	return damaged(at, err)
}

// header reads what is at w.at.
func (w *walker) header() (*block, *member, error) {
	if w.ctx.Err() != nil {
		return nil, nil, vfs.EAGAIN
	}
	var b block
	n, err := w.body.read(w.ctx, b[:], w.at)
	switch {
	case err != nil:
		return nil, nil, err
	case n == 0:
		return nil, nil, w.ended()
	case n < blockSize:
		return nil, nil, fmt.Errorf("%w: it ends in the header at byte %d", errShort, w.at)
	case b.zero():
		w.marked = true
		return nil, nil, io.EOF
	case !b.summed() && w.at == 0:
		return nil, nil, errors.New("this is no tar archive, packed or not")
	case !b.summed():
		return nil, nil, damaged(w.at, errChecksum)
	}
	m := &member{header: w.at, data: w.at + blockSize}
	if m.packed, err = number(b.raw(fieldSize)); err != nil || m.packed < 0 {
		m.packed = -1 // records may say it
	}
	return &b, m, nil
}

// ended is the end of an archive that has no mark: between members if what the
// last one said it has is there.
func (w *walker) ended() error {
	if w.end > 0 {
		if err := full(w.ctx, w.body, make([]byte, 1), w.end-1); err != nil {
			return err
		}
	}
	return io.EOF
}

// content reads all that belongs to a header that is not a member's.
func (w *walker) content(m *member, most int64) ([]byte, error) {
	if m.packed < 0 || m.packed > most {
		return nil, fmt.Errorf("more than %d bytes of extended header", most)
	}
	p := make([]byte, m.packed)
	return p, full(w.ctx, w.body, p, m.data)
}

func (w *walker) records(m *member) (records, error) {
	p, err := w.content(m, maxRecords)
	if err != nil {
		return nil, err
	}
	return parseRecords(string(p))
}

func (w *walker) addGlobal(m *member) error {
	more, err := w.records(m)
	if err == nil {
		w.global, err = w.all(more)
	}
	if err != nil {
		return err
	}
	w.size = 0
	for key, value := range w.global {
		w.size += int64(len(key) + len(value) + perRecord)
	}
	if w.size > maxRecords {
		return fmt.Errorf("more than %d bytes of extended headers for all members", maxRecords)
	}
	return nil
}

// all are the records of a member, or of a header for all, with those for all
// before it.
func (w *walker) all(own records) (records, error) {
	if w.said += w.size; w.said > maxSaid {
		return nil, fmt.Errorf("the extended headers for all members have %d bytes, which are too many for so many members", w.size)
	}
	return own.over(w.global), nil
}

// longName reads a path. Of one that is longer than any can be there is enough
// left to tell.
func (w *walker) longName(m *member) (string, error) {
	if m.packed < 0 {
		return "", errNumber
	}
	p := make([]byte, min(m.packed, maxLongName+1))
	err := full(w.ctx, w.body, p, m.data)
	name, _, _ := strings.Cut(string(p), "\x00")
	return name, err
}

// skip goes behind the content of a member.
func (w *walker) skip(m *member) error {
	if m.packed < 0 {
		return errNumber
	}
	if m.data > w.limit || m.packed > w.limit-m.data {
		return fmt.Errorf("%w: its file at byte %d has %d bytes", w.past, m.data, m.packed)
	}
	w.end = m.data + m.packed
	w.at = (w.end + blockSize - 1) &^ (blockSize - 1)
	return nil
}

// fill makes an entry of a header and its records, and goes behind its content.
func (w *walker) fill(m *member, b *block, r records) (err error) {
	e := &m.entry
	if e.Mtime, err = r.mtime(b); err != nil {
		return err
	}
	e.UID, e.GID = r.id(paxUID, b.raw(fieldUID)), r.id(paxGID, b.raw(fieldGID))
	mode, err := number(b.raw(fieldMode))
	if err != nil {
		return err
	}
	e.Xattrs = r.xattrs()
	e.Mode = r.restrict(uint32(mode)&0o7777, e.Xattrs)
	e.Type = typeOf(b)
	switch b.kind() {
	case kindHardLink, kindSymlink, kindChar, kindBlock, kindDirectory, kindFIFO:
		m.packed = 0 // whatever they say, none follows
	default:
		if m.packed, err = r.size(b); err != nil {
			return err
		}
	}
	if e.Type == vfs.TypeChar || e.Type == vfs.TypeBlock {
		e.Rdev = b.device()
	}
	if e.Type == vfs.TypeRegular && b.kind() != kindHardLink {
		if err := w.fillFile(m, b, r); err != nil {
			return err
		}
	}
	return w.skip(m)
}

func (w *walker) fillFile(m *member, b *block, r records) error {
	if !isSparse(b, r) {
		m.entry.Size = uint64(m.packed)
		return nil
	}
	numbers, err := w.sparseOf(b, r, m)
	if err != nil {
		return err
	}
	if len(numbers)/2 > w.extents {
		return errExtents
	}
	w.extents -= len(numbers) / 2
	m.holes = true
	if m.pieces, err = place(numbers, m); err != nil {
		return err
	}
	m.entry.Holes = m.entry.Size - uint64(m.packed)
	return nil
}

// typeOf is what a member is. Kinds that POSIX does not know are regular files
// to it.
func typeOf(b *block) vfs.FileType {
	switch b.kind() {
	case kindHardLink:
		return vfs.TypeRegular // tree.Entry.LinkTo says so
	case kindSymlink:
		return vfs.TypeSymlink
	case kindChar:
		return vfs.TypeChar
	case kindBlock:
		return vfs.TypeBlock
	case kindDirectory, kindDumpDir:
		return vfs.TypeDirectory
	case kindFIFO:
		return vfs.TypeFIFO
	case kindMultiPart:
		return vfs.TypeUnknown // it is only a part
	}
	return vfs.TypeRegular
}

// names gives a member its name and where it links to: as its records say, or a
// long name before it, or its header.
func (m *member) names(b *block, r records, name, link string) {
	e := &m.entry
	e.Path = cmp.Or(r[paxPath], name, b.path())
	if m.holes {
		e.Path = cmp.Or(r[paxSparseName], e.Path)
	}
	link = cmp.Or(r[paxLink], link, b.text(fieldLink))
	switch {
	case b.kind() == kindSymlink:
		e.Target = link
	case b.kind() == kindHardLink && link == "":
		e.Type = vfs.TypeUnknown // a link to nothing
	case b.kind() == kindHardLink:
		e.LinkTo = link
	case e.Type == vfs.TypeRegular && strings.HasSuffix(e.Path, "/"):
		e.Type = vfs.TypeDirectory // as before there were kinds
	}
}
