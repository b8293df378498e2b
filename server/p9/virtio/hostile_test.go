package virtio

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// breaks has the guest or its requests do something, and checks that it ends
// the run of this device: the front end is told, the channel is closed, there
// is one line in the log. A reset makes the device work again.
func breaks(t *testing.T, s *service, fe *frontEnd, wantLog string, do func()) {
	t.Helper()
	broken := newEventfd(t)
	fe.must(reqSetVringErr, u64Payload(0), int(broken.Fd()))
	do()
	broken.SetReadDeadline(time.Now().Add(deadline))
	if _, err := broken.Read(make([]byte, 8)); err != nil {
		t.Fatalf("the front end is not told: %v", err)
	}
	wait(t, wait(t, s.channels, "a channel").Closed, "the end of the channel")
	if lines := s.log.lines(); len(lines) != 1 || !strings.Contains(lines[0], wantLog) {
		t.Errorf("log: %q, want one line with %q", lines, wantLog)
	}
	fe.stop()
	fe.start()
	if got := fe.roundTrip(0, "fine"); got != "fine" {
		t.Errorf("after a reset the answer is %q", got)
	}
}

func TestHostileDescriptorsEndTheDevice(t *testing.T) {
	const outside = guestBase + memorySize
	put := func(fe *frontEnd, i int, addr uint64, n uint32, flags, next uint16) {
		put(fe.desc, i, descriptor{addr, n, flags, next})
	}
	indirect := func(fe *frontEnd, i int, addr uint64, n uint32, flags, next uint16) {
		table(fe.mem[tablePlace:]).put(i, descriptor{addr, n, flags, next})
	}
	for name, test := range map[string]struct {
		log      string
		features uint64
		rings    func(fe *frontEnd)
	}{
		"buffer below the memory": {"not in the guest's memory", features, func(fe *frontEnd) {
			put(fe, 0, guestBase-1, 10, 0, 0)
		}},
		"buffer above the memory": {"not in the guest's memory", features, func(fe *frontEnd) {
			put(fe, 0, outside-10, 11, flagWrite, 0)
		}},
		"buffer that wraps around": {"not in the guest's memory", features, func(fe *frontEnd) {
			put(fe, 0, ^uint64(0)-5, 10, 0, 0)
		}},
		"buffer of 4 GiB": {"not in the guest's memory", features, func(fe *frontEnd) {
			put(fe, 0, guestBase, ^uint32(0), flagWrite, 0)
		}},
		"chain that goes in a circle": {"loop", features, func(fe *frontEnd) {
			put(fe, 0, guestBase, 1, flagNext, 1)
			put(fe, 1, guestBase, 1, flagNext, 0)
		}},
		"descriptor that is its own next": {"loop", features, func(fe *frontEnd) {
			put(fe, 0, guestBase, 0, flagNext, 0)
		}},
		"indirect table with a circle": {"loop", features, func(fe *frontEnd) {
			put(fe, 0, guestAddr(tablePlace), 2*descriptorSize, flagIndirect, 0)
			indirect(fe, 0, guestBase, 1, flagNext, 1)
			indirect(fe, 1, guestBase, 1, flagNext, 0)
		}},
		"more pieces than may be": {"too long", features, func(fe *frontEnd) {
			for i := range 63 {
				put(fe, i, guestBase, 1, flagNext, uint16(i)+1)
			}
			put(fe, 63, guestAddr(tablePlace), tableSize, flagIndirect, 0)
			for i := range maxChain {
				indirect(fe, i, guestBase, 1, flagNext, uint16(i)+1)
			}
		}},
		"next outside of the table": {"descriptor 64 in a table of 64", features, func(fe *frontEnd) {
			put(fe, 0, guestBase, 1, flagNext, 64)
		}},
		"next outside of the indirect table": {"descriptor 2 in a table of 2", features, func(fe *frontEnd) {
			put(fe, 0, guestAddr(tablePlace), 2*descriptorSize, flagIndirect, 0)
			indirect(fe, 0, guestBase, 1, flagNext, 2)
		}},
		"readable after writable": {"readable descriptor after a writable one", features, func(fe *frontEnd) {
			put(fe, 0, guestBase, 1, flagWrite|flagNext, 1)
			put(fe, 1, guestBase, 1, 0, 0)
		}},
		"indirect in indirect": {"in an indirect table", features, func(fe *frontEnd) {
			put(fe, 0, guestAddr(tablePlace), descriptorSize, flagIndirect, 0)
			indirect(fe, 0, guestAddr(tablePlace), descriptorSize, flagIndirect, 0)
		}},
		"indirect with a next": {"has a next one", features, func(fe *frontEnd) {
			put(fe, 0, guestAddr(tablePlace), descriptorSize, flagIndirect|flagNext, 1)
		}},
		"indirect without having negotiated it": {"not negotiated", features &^ featureIndirect, func(fe *frontEnd) {
			put(fe, 0, guestAddr(tablePlace), descriptorSize, flagIndirect, 0)
		}},
		"indirect table of an odd size": {"indirect table of 17 bytes", features, func(fe *frontEnd) {
			put(fe, 0, guestAddr(tablePlace), 17, flagIndirect, 0)
		}},
		"indirect table of nothing": {"indirect table of 0 bytes", features, func(fe *frontEnd) {
			put(fe, 0, guestAddr(tablePlace), 0, flagIndirect, 0)
		}},
		"huge indirect table": {"indirect table of 1048576 bytes", features, func(fe *frontEnd) {
			put(fe, 0, guestAddr(tablePlace), 1<<20, flagIndirect, 0)
		}},
		"indirect table outside": {"not in the guest's memory", features, func(fe *frontEnd) {
			put(fe, 0, outside-descriptorSize, 2*descriptorSize, flagIndirect, 0)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, echo)
			fe := s.connect(t)
			fe.features = test.features
			fe.start()
			breaks(t, s, fe, test.log, func() {
				test.rings(fe)
				fe.offer(0)
			})
		})
	}
}

func (t table) put(i int, d descriptor) { put(t, i, d) }

func TestHostileRingEndsTheDevice(t *testing.T) {
	for name, test := range map[string]struct {
		log  string
		ring func(fe *frontEnd)
	}{
		"head outside of the table": {"descriptor 64 in a table of 64", func(fe *frontEnd) {
			fe.offer(64)
		}},
		"index that is too far ahead": {"available index is 65 ahead in a ring of 64", func(fe *frontEnd) {
			fe.availIndex = 65
			fe.storeAvail()
			fe.notify()
		}},
		"index that goes back": {"available index is 65535 ahead", func(fe *frontEnd) {
			fe.availIndex--
			fe.storeAvail()
			fe.notify()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, echo)
			fe := s.connect(t)
			fe.start()
			breaks(t, s, fe, test.log, func() { test.ring(fe) })
		})
	}
}

func TestRingThatCannotBeEndsTheDevice(t *testing.T) {
	for name, test := range map[string]struct {
		log  string
		ring func(fe *frontEnd)
	}{
		"no entries":          {"not a power of two", func(fe *frontEnd) { fe.size = 0 }},
		"not a power of two":  {"not a power of two", func(fe *frontEnd) { fe.size = 48 }},
		"too many entries":    {"not a power of two up to 1024", func(fe *frontEnd) { fe.size = 2048 }},
		"outside of memory":   {"available ring: ", func(fe *frontEnd) { fe.avail = fe.mem[memorySize-10:] }},
		"across two regions":  {"used ring: ", func(fe *frontEnd) { fe.used = fe.mem[halfSize-8:] }},
		"misaligned table":    {"descriptor table is not aligned", func(fe *frontEnd) { fe.desc = fe.mem[8:] }},
		"misaligned avail":    {"available ring is not aligned", func(fe *frontEnd) { fe.avail = fe.mem[6:] }},
		"misaligned used":     {"used ring is not aligned", func(fe *frontEnd) { fe.used = fe.mem[6:] }},
		"nowhere in the user": {"descriptor table: ", func(fe *frontEnd) { fe.desc = fe.mem[memorySize:] }},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, echo)
			fe := s.connect(t)
			breaks(t, s, fe, test.log, func() {
				fe.driver = newDriver(t, fe.mem, fe.ringSize, fe.features)
				test.ring(fe)
				fe.resume(0)
			})
		})
	}
}

func TestRingWithoutMemoryEndsTheDevice(t *testing.T) {
	s := serve(t, echo)
	fe := s.connect(t)
	breaks(t, s, fe, "without a memory table", func() {
		fe.send(reqSetVringNum, vringStatePayload(0, 64))
		fe.must(reqSetVringEnable, vringStatePayload(0, 1))
		fe.must(reqSetVringKick, u64Payload(0), int(newEventfd(t).Fd()))
	})
}

func TestFailureOfARequestEndsTheDevice(t *testing.T) {
	var failure func(out [][]byte) (int, error)
	do := func(ctx context.Context, in, out [][]byte) (int, error) {
		if string(in[0]) == "fail" {
			return failure(out)
		}
		return echo(ctx, in, out)
	}
	for name, test := range map[string]struct {
		log     string
		failure func(out [][]byte) (int, error)
	}{
		"error":             {"not 9P", func([][]byte) (int, error) { return 0, errors.New("not 9P") }},
		"panic":             {"panic: oops", func([][]byte) (int, error) { panic("oops") }},
		"nil dereference":   {"nil pointer", func([][]byte) (int, error) { var p *int; return *p, nil }},
		"more than room":    {"answer of 1025 bytes in a room of 1024", func([][]byte) (int, error) { return bufferSize + 1, nil }},
		"less than nothing": {"answer of -1 bytes", func([][]byte) (int, error) { return -1, nil }},
	} {
		t.Run(name, func(t *testing.T) {
			failure = test.failure
			s := serve(t, do)
			fe := s.connect(t)
			fe.start()
			breaks(t, s, fe, test.log, func() {
				fe.prepare(0, "fail")
				fe.offer(0)
			})
		})
	}
}

func TestFailureOfOneDeviceIsNotNoticedByAnother(t *testing.T) {
	bad, good := serve(t, echo), serve(t, echo)
	badEnd, goodEnd := bad.connect(t), good.connect(t)
	badEnd.start()
	goodEnd.start()
	breaks(t, bad, badEnd, "descriptor", func() { badEnd.offer(99) })
	if got := goodEnd.roundTrip(0, "fine"); got != "fine" {
		t.Errorf("the other answers %q", got)
	}
	if lines := good.log.lines(); len(lines) != 0 {
		t.Errorf("the other logs %q", lines)
	}
}

// vanishing adds a page in a file of its own to the memory table, right after
// the rest in the guest.
func (fe *frontEnd) vanishing() (page uint64, vanish func()) {
	fe.t.Helper()
	const size = 4096
	f := newMemory(fe.t, size)
	fd := int(fe.memfd.Fd())
	infos, err := (&message{payload: fe.memTable(), fds: []int{fd, fd}}).memTable()
	if err != nil {
		fe.t.Fatal(err)
	}
	infos = append(infos, regionInfo{guest: guestBase + memorySize, size: size, user: 0x1000})
	fe.must(reqSetMemTable, memTablePayload(infos...), fd, fd, int(f.Fd()))
	return guestBase + memorySize, func() {
		if err := f.Truncate(0); err != nil {
			fe.t.Fatal(err)
		}
	}
}

func TestVanishedMemoryEndsTheDevice(t *testing.T) {
	for name, flags := range map[string]uint16{"read": 0, "written": flagWrite} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(ctx context.Context, in, out [][]byte) (int, error) {
				if len(out) == 0 {
					return int(in[0][7]), nil
				}
				return echo(ctx, in, out)
			})
			fe := s.connect(t)
			fe.start()
			page, vanish := fe.vanishing()
			breaks(t, s, fe, "memory that the front end shared is gone", func() {
				vanish()
				fe.prepare(0, "request")
				if flags == 0 {
					put(fe.desc, 0, descriptor{page, 10, 0, 0})
				} else {
					put(fe.desc, 1, descriptor{page, 10, flagWrite, 0})
				}
				fe.offer(0)
			})
		})
	}
}

func TestVanishedTableEndsTheDevice(t *testing.T) {
	s := serve(t, echo)
	fe := s.connect(t)
	fe.start()
	page, vanish := fe.vanishing()
	breaks(t, s, fe, "memory that the front end shared is gone", func() {
		vanish()
		put(fe.desc, 0, descriptor{page, descriptorSize, flagIndirect, 0})
		fe.offer(0)
	})
}

func TestVanishedRingEndsTheDevice(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector's atomic operations are in C, where a fault cannot become a panic")
	}
	s := serve(t, echo)
	fe := s.connect(t)
	f := newMemory(t, memorySize)
	fe.memfd, fe.mem = f, mapFile(t, f)
	broken := newEventfd(t)
	fe.must(reqSetVringErr, u64Payload(0), int(broken.Fd()))
	fe.start()
	if err := f.Truncate(0); err != nil {
		t.Fatal(err)
	}
	fe.notify()
	broken.SetReadDeadline(time.Now().Add(deadline))
	if _, err := broken.Read(make([]byte, 8)); err != nil {
		t.Fatalf("the front end is not told: %v", err)
	}
	// Starting it there again fails as well, and is no worse.
	fe.stop()
	if err := f.Truncate(memorySize); err != nil {
		t.Fatal(err)
	}
	fe.start()
	if got := fe.roundTrip(0, "fine"); got != "fine" {
		t.Errorf("after a reset the answer is %q", got)
	}
}

// A system call does not raise a signal, but fails. It is for the channel to
// say what that means.
func TestSystemCallOnVanishedMemoryFails(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() }) // when the device has ended
	s := serve(t, func(_ context.Context, in, out [][]byte) (int, error) {
		_, err := unix.Pwritev(int(f.Fd()), in, 0)
		return copy(out[0], fmt.Sprint(err)), nil
	})
	fe := s.connect(t)
	fe.start()
	page, vanish := fe.vanishing()
	vanish()
	fe.prepare(0, "")
	put(fe.desc, 0, descriptor{page, 10, flagNext, 1})
	fe.offer(0)
	if _, n := fe.wait(); string(fe.reply(0)[:n]) != unix.EFAULT.Error() {
		t.Errorf("pwritev: %q", fe.reply(0)[:n])
	}
}

// A page of a file that is not the kernel's own memory comes from whoever serves
// the file, such as the front end.
func TestMemoryThatOthersServeIsRefused(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "memory"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(memorySize); err != nil {
		t.Fatal(err)
	}
	if checkInMemory(int(f.Fd())) == nil {
		t.Skip("temporary files are on tmpfs")
	}
	s := serve(t, echo)
	fe := s.connect(t)
	fe.start()
	if fe.acknowledged(reqSetMemTable, memTablePayload(regionInfo{guest: guestBase, size: memorySize}), int(f.Fd())) == 0 {
		t.Error("not refused")
	}
	if got := fe.roundTrip(0, "fine"); got != "fine" {
		t.Errorf("answered by %q", got)
	}
	if lines := s.log.lines(); len(lines) != 1 || !strings.Contains(lines[0], "must be a memfd") {
		t.Errorf("log: %q", lines)
	}
}

// A guest that never lets the ring get empty cannot keep it from being stopped.
func TestRingThatIsNeverEmptyCanBeStopped(t *testing.T) {
	s := serve(t, echo)
	fe := s.connect(t)
	fe.start()
	fe.prepare(0, "again")
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-done:
				return
			default:
			}
			used := fe.load16(fe.used, 2)
			for fe.availIndex-used < fe.size {
				binary.LittleEndian.PutUint16(fe.avail[ringHeader+availEntry*int(fe.availIndex&(fe.size-1)):], 0)
				fe.availIndex++
			}
			fe.storeAvail()
		}
	}()
	fe.notify()
	ch := wait(t, s.channels, "a channel")
	fe.ask(reqGetVringBase, 0, vringStatePayload(0, 0))
	close(done)
	<-stopped
	fe.conn.Close()
	wait(t, ch.Closed, "the end of the channel")
	if lines := s.log.lines(); len(lines) != 0 {
		t.Errorf("log: %q", lines)
	}
}

func TestGuestCannotFloodTheLog(t *testing.T) {
	s := serve(t, echo)
	fe := s.connect(t)
	for range 3 * logBurst {
		if got := fe.acknowledged(reqSetConfig, make([]byte, 13)); got == 0 {
			t.Fatal("not refused")
		}
	}
	if n := len(s.log.lines()); n == 0 || n > 2*logBurst { // a minute may begin in between
		t.Errorf("%d lines", n)
	}
}
