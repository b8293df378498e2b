package objects

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/klauspost/compress/zlib"
)

// fuzzLimit bounds what is inflated, so that many inputs are tried.
const fuzzLimit = 1 << 20

func deflated(data []byte) []byte {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	w.Write(data) // to memory
	w.Close()
	return b.Bytes()
}

// indexOf is an index of objects that begin at offsets of a pack. Their names
// are 0101…, 0202… and so on.
func indexOf(offsets ...uint32) []byte {
	b := []byte("\xfftOc\x00\x00\x00\x02")
	for i := range 256 {
		b = binary.BigEndian.AppendUint32(b, uint32(min(i, len(offsets))))
	}
	for i := range offsets {
		b = append(b, bytes.Repeat([]byte{byte(i + 1)}, idLen)...)
	}
	b = append(b, make([]byte, 4*len(offsets))...)
	for _, off := range offsets {
		b = binary.BigEndian.AppendUint32(b, off)
	}
	return append(b, make([]byte, idxTrailer)...)
}

// packOf is a pack of one blob at 12 and a delta of it behind that, with where
// that is.
func packOf(objects uint32) (pack []byte, delta uint32) {
	b := binary.BigEndian.AppendUint32([]byte("PACK\x00\x00\x00\x02"), objects)
	b = append(append(b, byte(plumbing.BlobObject)<<4|5), deflated([]byte("hello"))...)
	delta = uint32(len(b))
	steps := []byte{5, 8, 0x90, 5, 3, 'a', 'b', 'c'}
	b = append(b, byte(plumbing.OFSDeltaObject)<<4|byte(len(steps)), byte(delta-packHeader))
	return append(append(b, deflated(steps)...), make([]byte, packTrailer)...), delta
}

// FuzzPack has whatever bytes in the place of a pack and its index, and reads
// what they say there is.
func FuzzPack(f *testing.F) {
	pack, delta := packOf(2)
	f.Add(pack, indexOf(packHeader, delta))
	f.Add(pack, indexOf(delta, packHeader))
	f.Fuzz(func(t *testing.T, pack, idx []byte) {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "pack"), 0o755); err != nil {
			t.Fatal(err)
		}
		for name, data := range map[string][]byte{"pack-1.pack": pack, "pack-1.idx": idx} {
			if err := os.WriteFile(filepath.Join(dir, "pack", name), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		d, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		for i := range byte(3) {
			use(t, d, plumbing.Hash(bytes.Repeat([]byte{i + 1}, idLen)))
		}
	})
}

// use does all that can be done with an object that is not what its name says.
func use(t *testing.T, d *DB, id plumbing.Hash) {
	d.Size(id)
	d.WithPrefix(id.String()[:6])
	if _, _, err := d.Read(context.Background(), id, fuzzLimit); err == nil {
		t.Errorf("%s was found", id)
	}
	c, err := d.Content(context.Background(), id, "", fuzzLimit)
	if err != nil {
		return
	}
	defer c.Close()
	if n, err := c.ReadAt(context.Background(), make([]byte, c.Size()+1), 0); err == nil && n > 0 {
		t.Errorf("%s has %d bytes", id, n)
	}
}

func TestADeltaInAPackIsAppliedToItsBase(t *testing.T) {
	pack, delta := packOf(2)
	dir := t.TempDir()
	for name, data := range map[string][]byte{"pack-1.pack": pack, "pack-1.idx": indexOf(packHeader, delta)} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p, err := openPack(filepath.Join(dir, "pack-1.idx"))
	if err != nil {
		t.Fatal(err)
	}
	defer p.drop()
	off, err := p.find(plumbing.Hash(bytes.Repeat([]byte{2}, idLen)))
	if err != nil {
		t.Fatal(err)
	}
	if size, err := p.size(off); err != nil || size != 8 {
		t.Errorf("its size is %d, %v", size, err)
	}
	d := &DB{bases: newBases()}
	if o, err := d.unpack(context.Background(), place{p, off}, 100); err != nil || string(o.data) != "helloabc" {
		t.Errorf("it is %q, %v", o.data, err)
	}
}

// FuzzDelta applies deltas in memory and from file to file, which must come to
// the same.
func FuzzDelta(f *testing.F) {
	f.Add([]byte("hello"), []byte{5, 8, 0x90, 5, 3, 'a', 'b', 'c'})
	f.Add([]byte("hello"), []byte{5, 4, 0x91, 3, 2, 0x90, 2})
	f.Add([]byte(""), []byte{0, 1, 1, 'x'})
	f.Fuzz(func(t *testing.T, base, delta []byte) {
		want, wantErr := patch(base, delta, fuzzLimit)
		got, err := patchFiles(t, base, delta)
		if (err == nil) != (wantErr == nil) || err == nil && !bytes.Equal(got, want) {
			t.Errorf("in memory %q, %v; in files %q, %v", want, wantErr, got, err)
		}
	})
}

func patchFiles(t *testing.T, base, delta []byte) ([]byte, error) {
	ctx := context.Background()
	b, err := newContent(t.TempDir(), int64(len(base)), bytes.NewReader(base), func() {})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.fill(ctx, b.size); err != nil {
		t.Fatal(err)
	}
	file, err := os.CreateTemp(t.TempDir(), "delta")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	stored := deflated(delta)
	if _, err := file.Write(append(stored, make([]byte, packTrailer)...)); err != nil {
		t.Fatal(err)
	}
	p := &pack{data: file, length: int64(len(stored)) + packTrailer}
	c, err := patched(b, p, &entry{size: int64(len(delta))}, t.TempDir(), fuzzLimit)
	if c != nil {
		defer c.Close()
	}
	if err != nil {
		return nil, err
	}
	out := make([]byte, c.size)
	if err := c.fill(ctx, c.size); err != nil {
		return nil, err
	}
	if c.size == 0 { // there is nothing to read, and so to find out
		return nil, c.checkEnd()
	}
	_, err = c.file.ReadAt(out, 0)
	return out, err
}

// FuzzLoose reads whatever is in the place of a loose object.
func FuzzLoose(f *testing.F) {
	f.Add(deflated([]byte("blob 5\x00hello")))
	f.Add(deflated([]byte("tree 0\x00")))
	f.Add(deflated([]byte("blob 99999999999999\x00")))
	f.Fuzz(func(t *testing.T, data []byte) {
		id := plumbing.NewHash("0101010101010101010101010101010101010101")
		for _, stored := range [][]byte{data, deflated(data)} {
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "01"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "01", id.String()[2:]), stored, 0o644); err != nil {
				t.Fatal(err)
			}
			d, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			use(t, d, id)
			d.Close()
		}
	})
}
