package nfs41

import "github.com/fsva/fsva/server/xdr"

type (
	// PutRootFH is PUTROOTFH (RFC 8881 section 18.21).
	PutRootFH struct{}
	// PutPubFH is PUTPUBFH (section 18.20).
	PutPubFH struct{}
	// PutFH is PUTFH (section 18.19).
	PutFH FH
	// SaveFH is SAVEFH (section 18.28).
	SaveFH struct{}
	// RestoreFH is RESTOREFH (section 18.27).
	RestoreFH struct{}
	// Lookup is LOOKUP of a name (section 18.13).
	Lookup string
	// LookupP is LOOKUPP (section 18.14).
	LookupP struct{}
	// GetFH is GETFH (section 18.8).
	GetFH struct{ FH FH }
)

func (PutRootFH) Num() OpNum { return OpPutRootFH }
func (PutPubFH) Num() OpNum  { return OpPutPubFH }
func (PutFH) Num() OpNum     { return OpPutFH }
func (SaveFH) Num() OpNum    { return OpSaveFH }
func (RestoreFH) Num() OpNum { return OpRestoreFH }
func (Lookup) Num() OpNum    { return OpLookup }
func (LookupP) Num() OpNum   { return OpLookupP }
func (*GetFH) Num() OpNum    { return OpGetFH }

func (PutRootFH) Encode(*xdr.Encoder)  {}
func (PutPubFH) Encode(*xdr.Encoder)   {}
func (o PutFH) Encode(e *xdr.Encoder)  { e.Opaque(o) }
func (SaveFH) Encode(*xdr.Encoder)     {}
func (RestoreFH) Encode(*xdr.Encoder)  {}
func (o Lookup) Encode(e *xdr.Encoder) { e.String(string(o)) }
func (LookupP) Encode(*xdr.Encoder)    {}
func (*GetFH) Encode(*xdr.Encoder)     {}

func (PutRootFH) Decode(*xdr.Decoder, Status) {}
func (PutPubFH) Decode(*xdr.Decoder, Status)  {}
func (PutFH) Decode(*xdr.Decoder, Status)     {}
func (SaveFH) Decode(*xdr.Decoder, Status)    {}
func (RestoreFH) Decode(*xdr.Decoder, Status) {}
func (Lookup) Decode(*xdr.Decoder, Status)    {}
func (LookupP) Decode(*xdr.Decoder, Status)   {}

func (o *GetFH) Decode(d *xdr.Decoder, st Status) {
	if st == NFS4_OK {
		o.FH = append(FH(nil), d.Opaque(maxFH)...)
	}
}

// A SecFlavor is one way to authenticate that SECINFO lists.
type SecFlavor uint32

// AUTH_SYS's flavour; RPCSEC_GSS is not decoded.
const (
	FlavorNone SecFlavor = 0
	FlavorSys  SecFlavor = 1
)

// SecInfo is SECINFO of a name (section 18.29).
type SecInfo struct {
	Name string

	Flavors []SecFlavor
}

// SecInfoNoName is SECINFO_NO_NAME (section 18.45).
type SecInfoNoName struct {
	Parent bool

	Flavors []SecFlavor
}

func (*SecInfo) Num() OpNum                              { return OpSecInfo }
func (o *SecInfo) Encode(e *xdr.Encoder)                 { e.String(o.Name) }
func (o *SecInfo) Decode(d *xdr.Decoder, st Status)      { o.Flavors = decodeFlavors(d, st) }
func (*SecInfoNoName) Num() OpNum                        { return OpSecInfoNoName }
func (o *SecInfoNoName) Encode(e *xdr.Encoder)           { e.Bool(o.Parent) }
func (o *SecInfoNoName) Decode(d *xdr.Decoder, s Status) { o.Flavors = decodeFlavors(d, s) }

func decodeFlavors(d *xdr.Decoder, st Status) []SecFlavor {
	if st != NFS4_OK {
		return nil
	}
	var fs []SecFlavor
	for range d.Count(64, 4) {
		f := SecFlavor(d.Uint32())
		if f == 6 { // RPCSEC_GSS: mechanism, quality of protection, service
			d.Opaque(maxName)
			d.Uint32()
			d.Uint32()
		}
		fs = append(fs, f)
	}
	return fs
}
