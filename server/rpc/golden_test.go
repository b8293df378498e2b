package rpc_test

import (
	"bytes"
	"encoding/hex"
	"io"
	"strings"
	"testing"

	"github.com/fsva/fsva/server/rpc"
)

// statuses answers procedure 0 with success and each other with the accept
// status of its number, after results that must not be sent.
func statuses(c *rpc.Call) rpc.AcceptStat {
	if c.Procedure != 0 {
		c.Reply.String("what the status takes back")
	}
	return rpc.AcceptStat(c.Procedure)
}

// golden returns the bytes of hexadecimal digits in groups.
func golden(t *testing.T, digits string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(digits), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRepliesAreThoseOfRFC5531 sends calls byte by byte as RFC 5531 §9 has
// them, and compares the replies so.
func TestRepliesAreThoseOfRFC5531(t *testing.T) {
	const callNone = "20000001 00000005 00000000  00000000 00000000  00000000 00000000"
	for name, tc := range map[string]struct{ call, reply string }{
		"success": {
			"80000028 11223344 00000000 00000002" + callNone,
			"80000018 11223344 00000001 00000000 00000000 00000000 00000000",
		},
		"success of the lower version": {
			"80000028 11223344 00000000 00000002 20000001 00000003 00000000  00000000 00000000  00000000 00000000",
			"80000018 11223344 00000001 00000000 00000000 00000000 00000000",
		},
		"RPC_MISMATCH of version 3": {
			"80000028 00000001 00000000 00000003" + callNone,
			"80000018 00000001 00000001 00000001 00000000 00000002 00000002",
		},
		"RPC_MISMATCH of version 0": {
			"80000028 00000001 00000000 00000000" + callNone,
			"80000018 00000001 00000001 00000001 00000000 00000002 00000002",
		},
		"RPC_MISMATCH of a call without a version": {
			"80000008 00000001 00000000",
			"80000018 00000001 00000001 00000001 00000000 00000002 00000002",
		},
		"PROG_UNAVAIL": {
			"80000028 ffffffff 00000000 00000002 20000002 00000005 00000000  00000000 00000000  00000000 00000000",
			"80000018 ffffffff 00000001 00000000 00000000 00000000 00000001",
		},
		"PROG_MISMATCH below": {
			"80000028 00000002 00000000 00000002 20000001 00000002 00000000  00000000 00000000  00000000 00000000",
			"80000020 00000002 00000001 00000000 00000000 00000000 00000002 00000003 00000005",
		},
		"PROG_MISMATCH between": {
			"80000028 00000002 00000000 00000002 20000001 00000004 00000000  00000000 00000000  00000000 00000000",
			"80000020 00000002 00000001 00000000 00000000 00000000 00000002 00000003 00000005",
		},
		"PROG_MISMATCH above": {
			"80000028 00000002 00000000 00000002 20000001 00000006 00000000  00000000 00000000  00000000 00000000",
			"80000020 00000002 00000001 00000000 00000000 00000000 00000002 00000003 00000005",
		},
		"PROC_UNAVAIL": {
			"80000028 00000003 00000000 00000002 20000001 00000005 00000003  00000000 00000000  00000000 00000000",
			"80000018 00000003 00000001 00000000 00000000 00000000 00000003",
		},
		"GARBAGE_ARGS": {
			"80000028 00000004 00000000 00000002 20000001 00000005 00000004  00000000 00000000  00000000 00000000",
			"80000018 00000004 00000001 00000000 00000000 00000000 00000004",
		},
		"SYSTEM_ERR": {
			"80000028 00000005 00000000 00000002 20000001 00000005 00000005  00000000 00000000  00000000 00000000",
			"80000018 00000005 00000001 00000000 00000000 00000000 00000005",
		},
		"AUTH_BADCRED of a call that ends in its credential": {
			"8000001c 00000006 00000000 00000002 20000001 00000005 00000000 00000000",
			"80000014 00000006 00000001 00000001 00000001 00000001",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := serve(t, rpc.Options{}, statuses).dial(t)
			c.send(golden(t, tc.call))
			c.expect(golden(t, tc.reply)[4:])
		})
	}
}

// TestRecordMarkCountsTheReply compares the four bytes that expect takes off.
func TestRecordMarkCountsTheReply(t *testing.T) {
	c := serve(t, rpc.Options{}, statuses).dial(t)
	c.send(call(7, 0, nil))
	got := make([]byte, 28)
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatal(err)
	}
	if want := golden(t, "80000018 00000007 00000001 00000000 00000000 00000000 00000000"); !bytes.Equal(got, want) {
		t.Errorf("received\n%x\nwant\n%x", got, want)
	}
}

// TestRecordThatIsNoMessageEndsItsConnectionAlone sends what cannot be
// answered: there is no xid or it is neither call nor reply.
func TestRecordThatIsNoMessageEndsItsConnectionAlone(t *testing.T) {
	s := serve(t, rpc.Options{}, statuses)
	other := s.dial(t)
	other.ping()
	for name, msg := range map[string][]byte{
		"empty":            nil,
		"one byte":         {1},
		"xid alone":        words(1),
		"seven bytes":      words(1, 0)[:7],
		"unknown type":     words(1, 2, 2, program, version, 0, 0, 0, 0, 0),
		"HTTP":             []byte("GET / HTTP/1.1\r\n\r\n"),
		"half of a reply":  words(1, 1)[:7],
		"type of all ones": words(1, 0xffffffff),
	} {
		t.Run(name, func(t *testing.T) {
			c := s.dial(t)
			c.send(record(msg))
			c.expectEnd()
			other.ping()
		})
	}
}
