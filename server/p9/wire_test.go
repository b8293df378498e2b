package p9

import (
	"bytes"
	"testing"

	"github.com/fsva/fsva/vfs"
)

func TestMessagesAreLittleEndianWithTheirSizeFirst(t *testing.T) {
	var e encoder
	e.buf = append(e.buf, "before"...)
	start := e.begin(twalk+1, 0x0102)
	e.uint16(1)
	e.qid(qid{qidDir, 0x03040506, 0x0708090a0b0c0d0e})
	e.string("né")
	e.end(start, 3)
	want := []byte{27 + 3, 0, 0, 0, 111, 2, 1, 1, 0, 0x80, 6, 5, 4, 3, 0x0e, 0x0d, 0x0c, 0x0b, 0x0a, 9, 8, 7, 3, 0, 'n', 0xc3, 0xa9}
	if got := e.buf[start:]; !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
}

func TestDecoderFailsForGood(t *testing.T) {
	for name, take := range map[string]func(*decoder){
		"uint8":  func(d *decoder) { d.uint8() },
		"uint16": func(d *decoder) { d.uint16() },
		"uint32": func(d *decoder) { d.uint32() },
		"uint64": func(d *decoder) { d.uint64() },
		"bytes":  func(d *decoder) { d.bytes() },
		"data":   func(d *decoder) { d.data() },
		"name":   func(d *decoder) { d.name() },
	} {
		d := decoder{}
		if take(&d); !d.bad {
			t.Errorf("%s was taken from nothing", name)
		}
		d.buf = make([]byte, 100)
		if d.uint64(); !d.bad || len(d.buf) != 100 {
			t.Errorf("after %s failed, more was taken", name)
		}
	}
	for name, msg := range map[string][]byte{
		"string": {5, 0, 'f', 'o', 'u', 'r'},
		"data":   {0xff, 0xff, 0xff, 0xff, 1, 2, 3},
	} {
		d := decoder{buf: msg}
		if name == "data" {
			d.data()
		} else {
			d.bytes()
		}
		if !d.bad {
			t.Errorf("%s is longer than its message, but was taken", name)
		}
	}
}

func TestDecoderTakesWhatTheEncoderAppends(t *testing.T) {
	var e encoder
	e.uint8(1)
	e.uint16(2)
	e.uint32(3)
	e.uint64(4)
	e.string("name")
	e.time(vfs.Timespec{Sec: -1, Nsec: 5})
	d := decoder{buf: e.buf}
	if d.uint8() != 1 || d.uint16() != 2 || d.uint32() != 3 || d.uint64() != 4 {
		t.Error("numbers differ")
	}
	if name, err := d.name(); name != "name" || err != nil {
		t.Errorf("name %q, %v", name, err)
	}
	if sec, nsec := int64(d.uint64()), d.uint64(); sec != -1 || nsec != 5 || d.bad || len(d.buf) != 0 {
		t.Errorf("time %d.%d", sec, nsec)
	}
}

func TestQidVersionIsNeverZero(t *testing.T) {
	for _, change := range []uint64{0, 1<<32 | 1, 1, 1 << 63} {
		if q := qidOf(&vfs.Attr{Change: change}); q.version == 0 {
			t.Errorf("for change %#x", change)
		}
	}
}
