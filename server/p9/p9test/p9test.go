// Package p9test has what the tests of devices and relays need of 9P: a server
// behind them, and messages made by hand, which no client would send in that
// order. The server's own tests have a client of their own.
package p9test

import (
	"context"
	"encoding/binary"
	"testing"

	"github.com/rs/zerolog"

	"github.com/fsva/fsva/adapters/mem"
	"github.com/fsva/fsva/server/p9"
	"github.com/fsva/fsva/vfs/export"
	"github.com/fsva/fsva/vfs/lock"
)

// Types of messages of 9P2000.L. That of a reply is one more.
const (
	Rlerror  = 7
	Tlopen   = 12
	Tlcreate = 14
	Tlock    = 52
	Tversion = 100
	Tattach  = 104
	Tflush   = 108
	Twalk    = 110
	Tread    = 116
	Twrite   = 118
	Tclunk   = 120
)

// NoFID is no fid, and NoTag the tag of Tversion.
const (
	NoFID = ^uint32(0)
	NoTag = ^uint16(0)
)

// Message encodes a message: numbers by their size, strings behind their length,
// and bytes as they are.
func Message(typ uint8, tag uint16, fields ...any) []byte {
	b := binary.LittleEndian.AppendUint16(append(make([]byte, 4), typ), tag)
	for _, f := range fields {
		switch f := f.(type) {
		case string:
			b = append(binary.LittleEndian.AppendUint16(b, uint16(len(f))), f...)
		default:
			var err error
			if b, err = binary.Append(b, binary.LittleEndian, f); err != nil {
				panic(err)
			}
		}
	}
	binary.LittleEndian.PutUint32(b, uint32(len(b)))
	return b
}

// NewServer returns a server with one export, "data", of a file system in memory.
// It is shut down at the end of the test.
func NewServer(t testing.TB) *p9.Server {
	t.Helper()
	spec, err := export.Parse("data=mem:,squash=none")
	if err != nil {
		t.Fatal(err)
	}
	fs := mem.New(mem.Options{})
	table, err := export.NewTable([]*export.Export{export.New(1, spec, fs)})
	if err != nil {
		t.Fatal(err)
	}
	srv := p9.New(p9.Config{Exports: table, Locks: lock.NewTable(), Log: zerolog.Nop()})
	t.Cleanup(func() {
		if err := srv.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		fs.Close()
	})
	return srv
}
