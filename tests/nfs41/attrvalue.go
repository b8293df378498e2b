package nfs41

import "github.com/fsva/fsva/server/xdr"

// encode appends a fattr4. The mask is sent as it is, so that a test can ask
// for the impossible; attributes unknown here have no bytes.
func (a *Attrs) encode(e *xdr.Encoder) {
	a.Mask.encode(e)
	size := e.Reserve()
	start := e.Len()
	for n := range uint32(len(a.Mask) * 32) {
		if a.Mask.Has(n) {
			encodeValue(e, a.field(n))
		}
	}
	e.Put(size, uint32(e.Len()-start))
}

// decode takes a fattr4, and fails if its bytes are more or less than its
// mask says.
func (a *Attrs) decode(d *xdr.Decoder) {
	a.Mask.decode(d)
	v := xdr.NewDecoder(d.Opaque(maxOpaque))
	for n := range uint32(len(a.Mask) * 32) {
		if a.Mask.Has(n) {
			decodeValue(&v, a.field(n))
		}
	}
	if v.Err() != nil || v.Remaining() != 0 {
		d.Fail()
	}
}

func encodeValue(e *xdr.Encoder, p any) {
	switch v := p.(type) {
	case *uint32:
		e.Uint32(*v)
	case *uint64:
		e.Uint64(*v)
	case *bool:
		e.Bool(*v)
	case *string:
		e.String(*v)
	case *FH:
		e.Opaque(*v)
	case *Bitmap:
		v.encode(e)
	case *[]uint32:
		Bitmap(*v).encode(e)
	case *Time:
		v.encode(e)
	case *SetTime:
		e.Bool(v.Client)
		if v.Client {
			v.Time.encode(e)
		}
	case *FSID:
		e.Uint64(v.Major)
		e.Uint64(v.Minor)
	case *Device:
		e.Uint32(v.Major)
		e.Uint32(v.Minor)
	case *ModeUmask:
		e.Uint32(v.Mode)
		e.Uint32(v.Umask)
	case *[]ACE:
		e.Uint32(uint32(len(*v)))
		for _, a := range *v {
			e.Uint32(a.Type)
			e.Uint32(a.Flag)
			e.Uint32(a.Mask)
			e.String(a.Who)
		}
	case *FSLocations:
		encodeStrings(e, v.Root)
		e.Uint32(uint32(len(v.Locations)))
		for _, l := range v.Locations {
			encodeStrings(e, l.Servers)
			encodeStrings(e, l.Root)
		}
	}
}

func decodeValue(d *xdr.Decoder, p any) {
	switch v := p.(type) {
	case *uint32:
		*v = d.Uint32()
	case *uint64:
		*v = d.Uint64()
	case *bool:
		*v = d.Bool()
	case *string:
		// Owners repeat from file to file: keep the string that is there.
		if b := d.Opaque(maxName); string(b) != *v {
			*v = string(b)
		}
	case *FH:
		*v = append((*v)[:0], d.Opaque(maxFH)...)
	case *Bitmap:
		v.decode(d)
	case *[]uint32:
		*v = (*v)[:0]
		for range d.Count(256, 4) {
			*v = append(*v, d.Uint32())
		}
	case *Time:
		*v = Time{d.Int64(), d.Uint32()}
	case *SetTime:
		if v.Client = d.Bool(); v.Client {
			v.Time = Time{d.Int64(), d.Uint32()}
		}
	case *FSID:
		*v = FSID{d.Uint64(), d.Uint64()}
	case *Device:
		*v = Device{d.Uint32(), d.Uint32()}
	case *ModeUmask:
		*v = ModeUmask{d.Uint32(), d.Uint32()}
	case *[]ACE:
		*v = (*v)[:0]
		for range d.Count(maxName, 16) {
			*v = append(*v, ACE{d.Uint32(), d.Uint32(), d.Uint32(), d.String(maxName)})
		}
	case *FSLocations:
		*v = FSLocations{Root: decodeStrings(d)}
		for range d.Count(maxName, 8) {
			v.Locations = append(v.Locations, FSLocation{decodeStrings(d), decodeStrings(d)})
		}
	default: // an attribute whose length is not known
		d.Fail()
	}
}

func (t Time) encode(e *xdr.Encoder) {
	e.Int64(t.Sec)
	e.Uint32(t.Nsec)
}
