package nfs41

import "github.com/fsva/fsva/server/xdr"

// Create is CREATE of anything but a regular file (RFC 8881 section 18.4).
type Create struct {
	Type   uint32
	Target string // of a symbolic link
	Device Device // of a block or character special file
	Name   string
	Attrs  Attrs

	Change ChangeInfo
	Set    Bitmap
}

func (*Create) Num() OpNum { return OpCreate }

func (o *Create) Encode(e *xdr.Encoder) {
	e.Uint32(o.Type)
	switch o.Type {
	case TypeLnk:
		e.String(o.Target)
	case TypeBlk, TypeChr:
		e.Uint32(o.Device.Major)
		e.Uint32(o.Device.Minor)
	}
	e.String(o.Name)
	o.Attrs.encode(e)
}

func (o *Create) Decode(d *xdr.Decoder, st Status) {
	if st == NFS4_OK {
		o.Change.decode(d)
		o.Set.decode(d)
	}
}

// Remove is REMOVE of a name (section 18.25).
type Remove struct {
	Name string

	Change ChangeInfo
}

func (*Remove) Num() OpNum              { return OpRemove }
func (o *Remove) Encode(e *xdr.Encoder) { e.String(o.Name) }
func (o *Remove) Decode(d *xdr.Decoder, st Status) {
	if st == NFS4_OK {
		o.Change.decode(d)
	}
}

// Rename is RENAME from the saved to the current directory (section 18.26).
type Rename struct {
	Old, New string

	Source, Target ChangeInfo
}

func (*Rename) Num() OpNum { return OpRename }

func (o *Rename) Encode(e *xdr.Encoder) {
	e.String(o.Old)
	e.String(o.New)
}

func (o *Rename) Decode(d *xdr.Decoder, st Status) {
	if st == NFS4_OK {
		o.Source.decode(d)
		o.Target.decode(d)
	}
}

// Link is LINK of the saved file into the current directory (section 18.9).
type Link struct {
	Name string

	Change ChangeInfo
}

func (*Link) Num() OpNum              { return OpLink }
func (o *Link) Encode(e *xdr.Encoder) { e.String(o.Name) }
func (o *Link) Decode(d *xdr.Decoder, st Status) {
	if st == NFS4_OK {
		o.Change.decode(d)
	}
}

// ReadLink is READLINK (section 18.24).
type ReadLink struct{ Target string }

func (*ReadLink) Num() OpNum          { return OpReadLink }
func (*ReadLink) Encode(*xdr.Encoder) {}
func (o *ReadLink) Decode(d *xdr.Decoder, st Status) {
	if st == NFS4_OK {
		o.Target = d.String(maxName)
	}
}

// ReadDir is READDIR (section 18.23): Cookie and CookieVerf go in, and Next
// moves them on for the next call.
type ReadDir struct {
	Cookie     uint64
	CookieVerf Verifier
	DirCount   uint32 // bytes of names and cookies wanted
	MaxCount   uint32 // bytes of the whole result
	Mask       Bitmap

	Entries []Entry
	EOF     bool
}

// An Entry is one name in a directory.
type Entry struct {
	Cookie uint64
	Name   string
	Attrs  Attrs
}

func (*ReadDir) Num() OpNum { return OpReadDir }

func (o *ReadDir) Encode(e *xdr.Encoder) {
	e.Uint64(o.Cookie)
	e.Fixed(o.CookieVerf[:])
	e.Uint32(o.DirCount)
	e.Uint32(o.MaxCount)
	o.Mask.encode(e)
}

func (o *ReadDir) Decode(d *xdr.Decoder, st Status) {
	o.Entries, o.EOF = o.Entries[:0], false
	if st != NFS4_OK {
		return
	}
	o.CookieVerf.decode(d)
	for d.Bool() {
		o.Entries = append(o.Entries, Entry{Cookie: d.Uint64(), Name: d.String(maxName)})
		o.Entries[len(o.Entries)-1].Attrs.decode(d)
	}
	o.EOF = d.Bool()
}

// Next makes the operation one for the entries after those it has, and tells
// whether there are any.
func (o *ReadDir) Next() bool {
	if n := len(o.Entries); n > 0 {
		o.Cookie = o.Entries[n-1].Cookie
	}
	return !o.EOF
}
