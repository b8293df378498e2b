package nfs41

import "github.com/fsva/fsva/server/xdr"

// GetAttr is GETATTR (RFC 8881 section 18.7).
type GetAttr struct {
	Mask Bitmap

	Attrs Attrs
}

func (*GetAttr) Num() OpNum              { return OpGetAttr }
func (o *GetAttr) Encode(e *xdr.Encoder) { o.Mask.encode(e) }
func (o *GetAttr) Decode(d *xdr.Decoder, st Status) {
	if st == NFS4_OK {
		o.Attrs.decode(d)
	}
}

// SetAttr is SETATTR (section 18.30).
type SetAttr struct {
	Stateid Stateid
	Attrs   Attrs

	Set Bitmap // also after an error
}

func (*SetAttr) Num() OpNum { return OpSetAttr }
func (o *SetAttr) Encode(e *xdr.Encoder) {
	o.Stateid.encode(e)
	o.Attrs.encode(e)
}
func (o *SetAttr) Decode(d *xdr.Decoder, _ Status) { o.Set.decode(d) }

type (
	// Verify is VERIFY (section 18.31).
	Verify struct{ Attrs Attrs }
	// NVerify is NVERIFY (section 18.15).
	NVerify struct{ Attrs Attrs }
)

func (*Verify) Num() OpNum                   { return OpVerify }
func (*NVerify) Num() OpNum                  { return OpNVerify }
func (o *Verify) Encode(e *xdr.Encoder)      { o.Attrs.encode(e) }
func (o *NVerify) Encode(e *xdr.Encoder)     { o.Attrs.encode(e) }
func (*Verify) Decode(*xdr.Decoder, Status)  {}
func (*NVerify) Decode(*xdr.Decoder, Status) {}

// Rights of ACCESS; the last three are of RFC 8276.
const (
	AccessRead uint32 = 1 << iota
	AccessLookup
	AccessModify
	AccessExtend
	AccessDelete
	AccessExecute
	AccessXARead
	AccessXAWrite
	AccessXAList
)

// Access is ACCESS (section 18.1).
type Access struct {
	Want uint32

	Supported, Granted uint32
}

func (*Access) Num() OpNum              { return OpAccess }
func (o *Access) Encode(e *xdr.Encoder) { e.Uint32(o.Want) }
func (o *Access) Decode(d *xdr.Decoder, st Status) {
	if st == NFS4_OK {
		o.Supported, o.Granted = d.Uint32(), d.Uint32()
	}
}
