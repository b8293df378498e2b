package export

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/fsva/fsva/vfs"
)

// TestSipHashMatchesItsReference checks the first of the vectors that the
// authors publish with their code (vectors_sip64), and the one of the paper's
// appendix A, which is for 15 bytes.
func TestSipHashMatchesItsReference(t *testing.T) {
	vectors := []string{
		"310e0edd47db6f72", "fd67dc93c539f874", "5a4fa9d909806c0d", "2d7efbd796666785",
		"b7877127e09427cf", "8da699cd64557618", "cee3fe586e46c9cb", "37d1018bf50002ab",
		"6224939a79f5f593", "b0e4a90bdf82009e",
		15: "e545be4961ca29a1",
	}
	key := sipKey{0x0706050403020100, 0x0f0e0d0c0b0a0908}
	message := make([]byte, len(vectors))
	for n, want := range vectors {
		message[n] = byte(n)
		if want == "" {
			continue
		}
		got := hex.EncodeToString(binary.LittleEndian.AppendUint64(nil, key.sum(message[:n])))
		if got != want {
			t.Errorf("%d bytes: %s, want %s", n, got, want)
		}
	}
}

func testSealer() *Sealer { return NewSealer(bytes.Repeat([]byte{7}, 32)) }

func TestHandleSurvivesSealing(t *testing.T) {
	s := testSealer()
	for n := 1; n <= vfs.MaxNodeHandle; n++ {
		node := bytes.Repeat([]byte{byte(n)}, n)
		wire := s.Append([]byte("before"), 1<<31+7, node)[len("before"):]
		if len(wire) != n+Overhead || len(wire) > 128 {
			t.Fatalf("a handle of %d bytes takes %d", n, len(wire))
		}
		id, got, err := s.Open(wire)
		if err != nil || id != 1<<31+7 || !bytes.Equal(got, node) {
			t.Fatalf("%d bytes: %d %x %v", n, id, got, err)
		}
	}
}

func TestEveryFlippedBitIsRefused(t *testing.T) {
	s := testSealer()
	wire := s.Append(nil, 3, []byte("node handle of some bytes"))
	for bit := range len(wire) * 8 {
		wire[bit/8] ^= 1 << (bit % 8)
		if _, _, err := s.Open(wire); !errors.Is(err, vfs.EBADHANDLE) {
			t.Errorf("bit %d: %v", bit, err)
		}
		wire[bit/8] ^= 1 << (bit % 8)
	}
	for n := range wire {
		if _, _, err := s.Open(wire[:n]); !errors.Is(err, vfs.EBADHANDLE) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
}

func TestOtherKeyIsRefused(t *testing.T) {
	wire := testSealer().Append(nil, 3, []byte("node"))
	key := bytes.Repeat([]byte{7}, 32)
	key[31]++
	if _, _, err := NewSealer(key).Open(wire); !errors.Is(err, vfs.EBADHANDLE) {
		t.Error(err)
	}
}

func TestHandleTooLongOrEmptyIsRefused(t *testing.T) {
	s := testSealer()
	for _, n := range []int{0, vfs.MaxNodeHandle + 1} {
		if _, _, err := s.Open(s.Append(nil, 1, make([]byte, n))); !errors.Is(err, vfs.EBADHANDLE) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func FuzzOpenRefusesWhatItDidNotSeal(f *testing.F) {
	s := testSealer()
	f.Add([]byte{})
	f.Add(s.Append(nil, 1, []byte("x")))
	f.Add(s.Append(nil, 1, make([]byte, vfs.MaxNodeHandle)))
	f.Fuzz(func(t *testing.T, wire []byte) {
		id, node, err := s.Open(wire)
		if err != nil {
			if id != 0 || node != nil {
				t.Error("something comes with the error")
			}
			return
		}
		if !bytes.Equal(s.Append(nil, id, node), wire) {
			t.Errorf("%x opens but is not what sealing gives", wire)
		}
	})
}

func TestSealingAllocatesNothing(t *testing.T) {
	s, node, buf := testSealer(), make([]byte, 24), make([]byte, 0, 128)
	if n := testing.AllocsPerRun(100, func() {
		if _, _, err := s.Open(s.Append(buf, 1, node)); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAppend(b *testing.B) {
	s, node, buf := testSealer(), make([]byte, 24), make([]byte, 0, 128)
	b.ReportAllocs()
	for b.Loop() {
		s.Append(buf, 1, node)
	}
}

func BenchmarkOpen(b *testing.B) {
	s := testSealer()
	wire := s.Append(nil, 1, make([]byte, 24))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := s.Open(wire); err != nil {
			b.Fatal(err)
		}
	}
}
