package virtio

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The guest's driver reads the tag piece by piece.
func TestConfigurationHasTheTag(t *testing.T) {
	fe := serve(t, echo).connect(t)
	get := func(offset, size uint32) []byte {
		payload := native.AppendUint32(vringStatePayload(offset, size), 0)
		return fe.ask(reqGetConfig, 0, append(payload, make([]byte, size)...))
	}
	if got := get(0, 2)[12:]; binary.LittleEndian.Uint16(got) != 5 {
		t.Errorf("length of the tag: % x", got)
	}
	for i, want := range []byte("share") {
		if got := get(2+uint32(i), 1)[12:]; got[0] != want {
			t.Errorf("byte %d of the tag: %q", i, got)
		}
	}
	if got, want := get(0, configSize)[12:], append([]byte("\x05\x00share"), make([]byte, configSize-7)...); !bytes.Equal(got, want) {
		t.Errorf("configuration: %q", got)
	}
	for _, outside := range [][2]uint32{{0, configSize + 1}, {configSize, 1}, {math.MaxUint32, 1}} {
		if got := get(outside[0], outside[1]); len(got) != 0 {
			t.Errorf("%d bytes at %d: %q", outside[1], outside[0], got)
		}
	}
}

func TestWhatCannotBeIsRefusedAndTheSessionGoesOn(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	memfd := int(newMemory(t, 1<<20).Fd())
	table := func(infos ...regionInfo) message {
		m := message{request: reqSetMemTable, payload: memTablePayload(infos...)}
		for range infos {
			m.fds = append(m.fds, memfd)
		}
		return m
	}
	for name, m := range map[string]message{
		"unknown request":            {request: 99, payload: make([]byte, 17)},
		"unknown request, with file": {request: 21, payload: make([]byte, 8), fds: []int{memfd}},
		"features not offered":       {request: reqSetFeatures, payload: u64Payload(features | 1<<33)},
		"protocol features, too":     {request: reqSetProtocolFeatures, payload: u64Payload(protocolFeatures | 1<<5)},
		"write to configuration":     {request: reqSetConfig, payload: make([]byte, 13)},
		"ring that must be polled":   {request: reqSetVringKick, payload: u64Payload(0x100)},
		"kick that cannot be polled": {request: reqSetVringKick, payload: u64Payload(0), fds: []int{int(file.Fd())}},
		"empty region":               table(regionInfo{}),
		"region beyond its file":     table(regionInfo{size: 1<<20 + 1}),
		"offset beyond the file":     table(regionInfo{size: 1 << 20, offset: 1}),
		"offset that wraps around":   table(regionInfo{size: 4096, offset: math.MaxUint64 - 4095}),
		"size that is negative":      table(regionInfo{size: 1 << 63}),
		"guest that wraps around":    table(regionInfo{size: 4096, guest: math.MaxUint64 - 4094}),
		"user that wraps around":     table(regionInfo{size: 4096, user: math.MaxUint64 - 4094}),
		"regions that overlap":       table(regionInfo{size: 4096}, regionInfo{size: 4096, guest: 4095}),
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, echo)
			fe := s.connect(t)
			if got := fe.acknowledged(m.request, m.payload, m.fds...); got == 0 {
				t.Error("not refused")
			}
			fe.start()
			if got := fe.roundTrip(0, "fine"); got != "fine" {
				t.Errorf("answered by %q", got)
			}
		})
	}
}

func TestRefusalWithoutAcknowledgementIsLogged(t *testing.T) {
	s := serve(t, echo)
	fe := s.connect(t)
	fe.send(reqSetConfig, make([]byte, 13))
	fe.start()
	if lines := s.log.lines(); len(lines) != 1 || !strings.Contains(lines[0], "SET_CONFIG") {
		t.Errorf("log: %q", lines)
	}
}

func TestRunningRingIsNotChanged(t *testing.T) {
	s := serve(t, echo)
	fe := s.connect(t)
	fe.start()
	for r, payload := range map[request][]byte{
		reqSetFeatures:  u64Payload(0),
		reqSetVringNum:  vringStatePayload(0, 8),
		reqSetVringBase: vringStatePayload(0, 8),
		reqSetVringAddr: make([]byte, 40),
	} {
		if got := fe.acknowledged(r, payload); got == 0 {
			t.Errorf("%v is not refused", r)
		}
	}
	// Only the eventfds can be exchanged.
	old := fe.kick
	fe.kick, fe.call = newEventfd(t), newEventfd(t)
	fe.must(reqSetVringKick, u64Payload(0), int(fe.kick.Fd()))
	fe.must(reqSetVringCall, u64Payload(0), int(fe.call.Fd()))
	old.Close()
	if got := fe.roundTrip(0, "fine"); got != "fine" {
		t.Errorf("answered by %q", got)
	}
	fe.must(reqSetVringCall, u64Payload(0x100))
	fe.must(reqResetOwner, nil)
	if base := fe.stop(); base != 1 {
		t.Errorf("base %d", base)
	}
}

func TestMalformedMessagesEndTheSession(t *testing.T) {
	header := func(r request, flags, size uint32) []byte {
		b := native.AppendUint32(nil, uint32(r))
		return native.AppendUint32(native.AppendUint32(b, flags), size)
	}
	region := memTablePayload(regionInfo{size: 4096})
	many := make([]regionInfo, maxRegions+1)
	for name, test := range map[string]struct {
		log   string
		bytes []byte
		fds   int
	}{
		"other version":                     {"protocol version 2", header(reqSetOwner, 2, 0), 0},
		"reply":                             {"is a reply", header(reqSetOwner, 5, 0), 0},
		"huge payload":                      {"payload of 4294967295 bytes", header(reqSetOwner, 1, math.MaxUint32), 0},
		"payload where there is none":       {"SET_OWNER has a payload of 1 bytes", encode(reqSetOwner, 0, []byte{0}), 0},
		"short number":                      {"SET_FEATURES has a payload of 7 bytes", encode(reqSetFeatures, 0, make([]byte, 7)), 0},
		"short ring state":                  {"SET_VRING_NUM has", encode(reqSetVringNum, 0, make([]byte, 4)), 0},
		"short ring addresses":              {"SET_VRING_ADDR has", encode(reqSetVringAddr, 0, make([]byte, 39)), 0},
		"short kick":                        {"SET_VRING_KICK has", encode(reqSetVringKick, 0, nil), 1},
		"short configuration":               {"GET_CONFIG: payload of 11 bytes", encode(reqGetConfig, 0, make([]byte, 11)), 0},
		"empty memory table":                {"memory table of 0 bytes", encode(reqSetMemTable, 0, nil), 0},
		"memory table without regions":      {"0 regions", encode(reqSetMemTable, 0, memTablePayload()), 0},
		"memory table with nine regions":    {"9 regions", encode(reqSetMemTable, 0, memTablePayload(many...)), 8},
		"memory table that is cut off":      {"1 regions in 39 bytes", encode(reqSetMemTable, 0, region[:39]), 1},
		"memory without descriptor":         {"1 regions with 0 descriptors", encode(reqSetMemTable, 0, region), 0},
		"memory with too many":              {"1 regions with 2 descriptors", encode(reqSetMemTable, 0, region), 2},
		"kick without descriptor":           {"0 descriptors instead of 1", encode(reqSetVringKick, 0, u64Payload(0)), 0},
		"call with two":                     {"2 descriptors instead of 1", encode(reqSetVringCall, 0, u64Payload(0)), 2},
		"none announced and one there":      {"1 descriptors instead of 0", encode(reqSetVringErr, 0, u64Payload(0x100)), 1},
		"descriptor that nobody asked for":  {"GET_FEATURES has 1 descriptors", encode(reqGetFeatures, 0, nil), 1},
		"more descriptors than a table has": {"more than 8 descriptors", encode(reqSetOwner, 0, nil), 9},
		"far more descriptors":              {"more than 8 descriptors", encode(reqSetOwner, 0, nil), 250},
		"size of another ring":              {"SET_VRING_NUM: ring 1", encode(reqSetVringNum, 0, vringStatePayload(1, 8)), 0},
		"address of another ring":           {"SET_VRING_ADDR: ring 1", encode(reqSetVringAddr, 0, append(vringStatePayload(1, 0), make([]byte, 32)...)), 0},
		"base of another ring":              {"SET_VRING_BASE: ring 7", encode(reqSetVringBase, 0, vringStatePayload(7, 8)), 0},
		"end of another ring":               {"GET_VRING_BASE: ring 1", encode(reqGetVringBase, 0, vringStatePayload(1, 0)), 0},
		"kick of another ring":              {"SET_VRING_KICK: ring 1", encode(reqSetVringKick, 0, u64Payload(1)), 1},
		"call of another ring":              {"SET_VRING_CALL: ring 255", encode(reqSetVringCall, 0, u64Payload(255)), 1},
		"start of another ring":             {"SET_VRING_ENABLE: ring 1", encode(reqSetVringEnable, 0, vringStatePayload(1, 1)), 0},
		"unknown request":                   {"request 99 is not known", encode(99, 0, nil), 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, echo)
			fe := s.connect(t)
			fe.start()
			ch := wait(t, s.channels, "a channel")
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			var fds []int
			for range test.fds {
				fds = append(fds, int(w.Fd()))
			}
			if err := fe.sendRaw(test.bytes, fds...); err != nil {
				t.Fatal(err)
			}
			w.Close()
			fe.disconnected()
			wait(t, ch.Closed, "the end of the channel")
			// A pipe ends when the last descriptor of its other side is closed.
			if _, err := io.ReadAll(r); err != nil {
				t.Error(err)
			}
			next := s.connect(t)
			next.start()
			if got := next.roundTrip(0, "next"); got != "next" {
				t.Errorf("answered by %q", got)
			}
			s.stop()
			if lines := s.log.lines(); len(lines) != 1 || !strings.Contains(lines[0], test.log) {
				t.Errorf("log: %q, want one line with %q", lines, test.log)
			}
		})
	}
}

func TestMessageMayComeInPieces(t *testing.T) {
	s := serve(t, echo)
	fe := s.connect(t)
	fe.driver = newDriver(t, fe.mem, fe.ringSize, fe.features)
	fe.prepareRing(0)
	b := encode(reqSetVringEnable, flagNeedReply, vringStatePayload(0, 1))
	for i := range b[:len(b)-1] {
		if err := fe.sendRaw(b[i : i+1]); err != nil {
			t.Fatal(err)
		}
	}
	fe.conn.Write(b[len(b)-1:])
	if got := fe.roundTrip(0, "hello"); got != "hello" {
		t.Errorf("answered by %q", got)
	}
}

func TestMessageThatIsCutOffEndsTheSession(t *testing.T) {
	whole := encode(reqSetFeatures, 0, u64Payload(0))
	for n := 1; n < len(whole); n++ {
		s := serve(t, echo)
		fe := s.connect(t)
		if err := fe.sendRaw(whole[:n]); err != nil {
			t.Fatal(err)
		}
		if err := fe.conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		fe.disconnected()
		s.stop()
		if lines := s.log.lines(); len(lines) != 1 || !strings.Contains(lines[0], io.ErrUnexpectedEOF.Error()) {
			t.Errorf("after %d bytes the log is %q", n, lines)
		}
	}
}

// Descriptors that are taken over are closed with the session as well.
func TestSessionClosesItsDescriptors(t *testing.T) {
	s := serve(t, echo)
	fe := s.connect(t)
	sockets := func() (ours, theirs int) {
		p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		return p[0], p[1]
	}
	for _, r := range []request{reqSetVringKick, reqSetVringCall, reqSetVringErr} {
		ours, theirs := sockets()
		f := os.NewFile(uintptr(ours), "ours")
		defer f.Close()
		fe.must(r, u64Payload(0), theirs)
		unix.Close(theirs)
		defer func() {
			if _, err := io.ReadAll(f); err != nil {
				t.Errorf("%v: %v", r, err)
			}
		}()
	}
	fe.conn.Close()
}
