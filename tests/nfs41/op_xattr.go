package nfs41

import "github.com/fsva/fsva/server/xdr"

// GetXattr is GETXATTR (RFC 8276 section 8.4.1). Names have no "user." here.
type GetXattr struct {
	Name string

	Value []byte
}

func (*GetXattr) Num() OpNum              { return OpGetXattr }
func (o *GetXattr) Encode(e *xdr.Encoder) { e.String(o.Name) }
func (o *GetXattr) Decode(d *xdr.Decoder, st Status) {
	o.Value = nil
	if st == NFS4_OK {
		o.Value = append([]byte{}, d.Opaque(maxOpaque)...)
	}
}

// How SETXATTR treats a name that exists.
const (
	XattrEither uint32 = iota
	XattrCreate
	XattrReplace
)

// SetXattr is SETXATTR (section 8.4.2).
type SetXattr struct {
	How   uint32
	Name  string
	Value []byte

	Change ChangeInfo
}

func (*SetXattr) Num() OpNum { return OpSetXattr }

func (o *SetXattr) Encode(e *xdr.Encoder) {
	e.Uint32(o.How)
	e.String(o.Name)
	e.Opaque(o.Value)
}

func (o *SetXattr) Decode(d *xdr.Decoder, st Status) {
	if st == NFS4_OK {
		o.Change.decode(d)
	}
}

// ListXattrs is LISTXATTRS (section 8.4.3).
type ListXattrs struct {
	Cookie   uint64 // replaced by the result, for the next call
	MaxCount uint32

	Names []string
	EOF   bool
}

func (*ListXattrs) Num() OpNum { return OpListXattrs }

func (o *ListXattrs) Encode(e *xdr.Encoder) {
	e.Uint64(o.Cookie)
	e.Uint32(o.MaxCount)
}

func (o *ListXattrs) Decode(d *xdr.Decoder, st Status) {
	if st == NFS4_OK {
		o.Cookie = d.Uint64()
		o.Names = decodeStrings(d)
		o.EOF = d.Bool()
	}
}

// RemoveXattr is REMOVEXATTR (section 8.4.4).
type RemoveXattr struct {
	Name string

	Change ChangeInfo
}

func (*RemoveXattr) Num() OpNum              { return OpRemoveXattr }
func (o *RemoveXattr) Encode(e *xdr.Encoder) { e.String(o.Name) }
func (o *RemoveXattr) Decode(d *xdr.Decoder, st Status) {
	if st == NFS4_OK {
		o.Change.decode(d)
	}
}
