package nfs41

import (
	"errors"
	"net"
	"reflect"
	"testing"

	"github.com/fsva/fsva/server/xdr"
)

// serve answers each call with the next of the COMPOUND results.
func serve(t *testing.T, nc net.Conn, replies ...[]uint32) {
	go func() {
		for _, r := range replies {
			WriteRecord(nc, accepted(receive(t, nc), r...), 0)
		}
	}()
}

func TestErrorNamesTheOperationAndItsStatus(t *testing.T) {
	c, server := pair(t)
	serve(t, server, []uint32{2, 0, 2, uint32(OpPutRootFH), 0, uint32(OpLookup), 2})
	m := Compound{Ops: []Op{PutRootFH{}, Lookup("x"), &GetFH{}}}
	err := c.Do(&m)
	e, ok := errors.AsType[*OpError](err)
	if !ok || e.Index != 1 || e.Num != OpLookup || !errors.Is(err, NFS4ERR_NOENT) {
		t.Errorf("%v", err)
	}
	if m.Done != 2 || m.Status != NFS4ERR_NOENT {
		t.Errorf("%d results, status %v", m.Done, m.Status)
	}
}

func TestRepliesThatBreakTheProtocolAreErrors(t *testing.T) {
	for name, r := range map[string][]uint32{
		"result of another operation":       {0, 0, 1, uint32(OpLookupP), 0},
		"success with a result missing":     {0, 0, 0},
		"failure after good results only":   {2, 0, 1, uint32(OpPutRootFH), 0},
		"overall status not the last one's": {5, 0, 1, uint32(OpPutRootFH), 2},
		"bytes after the end":               {0, 0, 1, uint32(OpPutRootFH), 0, 0},
		"more results than operations":      {0, 0, 2, uint32(OpPutRootFH), 0, uint32(OpPutRootFH), 0},
		"cut short":                         {0, 0, 1, uint32(OpPutRootFH)},
	} {
		t.Run(name, func(t *testing.T) {
			c, server := pair(t)
			serve(t, server, r)
			err := c.Do(&Compound{Ops: []Op{PutRootFH{}}})
			if _, ok := errors.AsType[*OpError](err); err == nil || ok {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestSlotMovesOnOnlyWhenTheServerSequencedIt(t *testing.T) {
	c, server := pair(t)
	s := &Session{Conns: []*Conn{c}}
	s.makeSlots(1)
	ok := []uint32{0, 0, 0, 0, 1, 0, 0, 0, 0} // session, seqid, slot, highest, target, flags
	serve(t, server,
		append([]uint32{0, 0, 1, uint32(OpSequence), 0}, ok...),
		[]uint32{uint32(NFS4ERR_DELAY), 0, 1, uint32(OpSequence), uint32(NFS4ERR_DELAY)},
		append(append([]uint32{uint32(NFS4ERR_STALE), 0, 2, uint32(OpSequence), 0}, ok...), uint32(OpPutRootFH), uint32(NFS4ERR_STALE)))
	sl := s.Slot()
	for i, want := range []struct {
		seq   uint32
		err   Status
		index int
	}{{2, NFS4_OK, 0}, {2, NFS4ERR_DELAY, -1}, {3, NFS4ERR_STALE, 0}} {
		var ops []Op
		if i == 2 {
			ops = []Op{PutRootFH{}}
		}
		err := sl.Do(ops...)
		if sl.Sequence.Seq != want.seq || (err != nil) != (want.err != NFS4_OK) {
			t.Errorf("call %d: next sequence id %d, %v", i, sl.Sequence.Seq, err)
		}
		if e, ok := errors.AsType[*OpError](err); ok && (e.Status != want.err || e.Index != want.index) {
			t.Errorf("call %d: %v", i, err)
		}
	}
}

// fill sets every field to something that is not zero.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(7)
	case reflect.Int64:
		v.SetInt(-7)
	case reflect.String:
		v.SetString("seven")
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	}
}

func TestEveryAttributeSurvivesTheWire(t *testing.T) {
	var all, got Attrs
	fill(reflect.ValueOf(&all).Elem())
	all.Mask = nil
	for n := range uint32(96) {
		if all.field(n) != nil {
			all.Mask.Set(n)
		}
	}
	var e xdr.Encoder
	all.encode(&e)
	d := xdr.NewDecoder(e.Buf)
	got.decode(&d)
	if d.Err() != nil || d.Remaining() != 0 {
		t.Fatalf("%v, %d bytes left", d.Err(), d.Remaining())
	}
	if !reflect.DeepEqual(got, all) {
		t.Errorf("got  %+v\nwant %+v", got, all)
	}
}

func TestAttributesOfWrongLengthAreRefused(t *testing.T) {
	var e xdr.Encoder
	Mask(AttrSize).encode(&e)
	e.Opaque(make([]byte, 12))
	d := xdr.NewDecoder(e.Buf)
	new(Attrs).decode(&d)
	if d.Err() == nil {
		t.Error("12 bytes accepted for size")
	}
}
