package xdr_test

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"github.com/fsva/fsva/server/xdr"
)

// RFC 4506 §4 gives the forms.
func TestValuesHaveTheirWireForm(t *testing.T) {
	var e xdr.Encoder
	e.Uint32(1)
	e.Int32(-2)
	e.Uint64(3 << 32)
	e.Int64(-1)
	e.Bool(true)
	e.Bool(false)
	e.Opaque([]byte{1, 2, 3, 4, 5})
	e.String("hi")
	e.Fixed([]byte{9})
	want := []byte{
		0, 0, 0, 1,
		0xff, 0xff, 0xff, 0xfe,
		0, 0, 0, 3, 0, 0, 0, 0,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0, 0, 0, 1,
		0, 0, 0, 0,
		0, 0, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0,
		0, 0, 0, 2, 'h', 'i', 0, 0,
		9, 0, 0, 0,
	}
	if !bytes.Equal(e.Buf, want) {
		t.Errorf("got  %x\nwant %x", e.Buf, want)
	}
	d := xdr.NewDecoder(e.Buf)
	if a, b, c, f := d.Uint32(), d.Int32(), d.Uint64(), d.Int64(); a != 1 || b != -2 || c != 3<<32 || f != -1 {
		t.Error(a, b, c, f)
	}
	if !d.Bool() || d.Bool() {
		t.Error("booleans")
	}
	if o, s, f := d.Opaque(5), d.String(2), d.Fixed(1); !bytes.Equal(o, []byte{1, 2, 3, 4, 5}) || s != "hi" || f[0] != 9 {
		t.Error(o, s, f)
	}
	if d.Err() != nil || d.Remaining() != 0 {
		t.Errorf("%v, %d bytes left", d.Err(), d.Remaining())
	}
}

func TestWhatIsNotXDRFails(t *testing.T) {
	for name, tt := range map[string]struct {
		in   []byte
		take func(*xdr.Decoder)
	}{
		"integer cut short":      {[]byte{0, 0, 0}, func(d *xdr.Decoder) { d.Uint32() }},
		"hyper cut short":        {make([]byte, 7), func(d *xdr.Decoder) { d.Uint64() }},
		"boolean of 2":           {[]byte{0, 0, 0, 2}, func(d *xdr.Decoder) { d.Bool() }},
		"opaque beyond its max":  {[]byte{0, 0, 0, 2, 1, 1, 0, 0}, func(d *xdr.Decoder) { d.Opaque(1) }},
		"opaque beyond the end":  {[]byte{0, 0, 0, 8, 1, 1, 0, 0}, func(d *xdr.Decoder) { d.Opaque(100) }},
		"opaque of 4 GiB":        {[]byte{0xff, 0xff, 0xff, 0xff}, func(d *xdr.Decoder) { d.Opaque(math.MaxInt) }},
		"padding cut short":      {[]byte{0, 0, 0, 1, 1}, func(d *xdr.Decoder) { d.Opaque(1) }},
		"padding not zero":       {[]byte{0, 0, 0, 1, 1, 0, 1, 0}, func(d *xdr.Decoder) { d.Opaque(1) }},
		"count beyond its max":   {[]byte{0, 0, 0, 3, 0, 0, 0, 0}, func(d *xdr.Decoder) { d.Count(2, 0) }},
		"count beyond the input": {[]byte{0x40, 0, 0, 0}, func(d *xdr.Decoder) { d.Count(math.MaxInt, 4) }},
		"negative size":          {make([]byte, 8), func(d *xdr.Decoder) { d.Fixed(-4) }},
	} {
		t.Run(name, func(t *testing.T) {
			d := xdr.NewDecoder(tt.in)
			tt.take(&d)
			if !errors.Is(d.Err(), xdr.ErrDecode) {
				t.Errorf("err = %v", d.Err())
			}
			if d.Uint32() != 0 || d.Opaque(10) != nil || d.Bool() {
				t.Error("a failed decoder still gives values")
			}
		})
	}
}

func TestReservedPlacesAreFilledLater(t *testing.T) {
	var e xdr.Encoder
	at := e.Reserve()
	e.Uint32(7)
	e.Put(at, 5)
	if !bytes.Equal(e.Buf, []byte{0, 0, 0, 5, 0, 0, 0, 7}) {
		t.Errorf("%x", e.Buf)
	}
	e.Truncate(4)
	if e.Len() != 4 {
		t.Errorf("length %d after Truncate(4)", e.Len())
	}
}

// FuzzDecoder takes values from any bytes in any order. What was decoded and
// is encoded again must be the bytes it came from.
func FuzzDecoder(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 'a', 0, 0, 0, 0, 0, 0, 1}, []byte{3, 2})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff}, []byte{3})
	f.Add(bytes.Repeat([]byte{0}, 64), []byte{0, 1, 2, 3, 4, 5, 6})
	f.Fuzz(func(t *testing.T, in, script []byte) {
		d := xdr.NewDecoder(in)
		var e xdr.Encoder
		for _, step := range script {
			mark, off := e.Len(), d.Offset()
			switch step % 7 {
			case 0:
				e.Uint32(d.Uint32())
			case 1:
				e.Uint64(d.Uint64())
			case 2:
				e.Bool(d.Bool())
			case 3:
				e.Opaque(d.Opaque(64))
			case 4:
				e.Fixed(d.Fixed(int(step) / 7))
			case 5:
				e.Uint32(uint32(d.Count(1000, int(step)/7)))
			case 6:
				e.String(d.String(16))
			}
			if d.Err() != nil {
				return
			}
			if !bytes.Equal(e.Buf[mark:], d.Since(off)) {
				t.Fatalf("step %d: decoded %x, encodes as %x", step%7, d.Since(off), e.Buf[mark:])
			}
		}
		if d.Offset()+d.Remaining() != len(in) {
			t.Fatal("bytes got lost")
		}
	})
}
