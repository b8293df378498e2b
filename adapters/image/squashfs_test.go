package image_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/vfstest"
)

var le, be = binary.LittleEndian, binary.BigEndian

func mksquashfs(t testing.TB, dir string, options ...string) string {
	t.Helper()
	img := filepath.Join(t.TempDir(), "image.squashfs")
	run(t, "mksquashfs", append([]string{dir, img, "-noappend", "-quiet", "-no-progress", "-processors", "1"}, options...)...)
	return img
}

func TestSquashFSKeepsTheContractOfReadOnlyFileSystems(t *testing.T) {
	for _, options := range []string{"-comp gzip", "-comp zstd -b 4096", "-comp xz -Xdict-size 8K", "-comp lz4 -Xhc -b 1M"} {
		t.Run(options, func(t *testing.T) {
			dir, want := sourceTree(t)
			img := mksquashfs(t, dir, strings.Fields(options)...)
			vfstest.ReadOnly{Open: func(t testing.TB) vfs.FS { return openOnly(t, img) }, Want: want}.Run(t)
		})
	}
}

func TestSquashFSIsWhatTheKernelShows(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("making all kinds of files needs root")
	}
	dir := t.TempDir()
	populate(t, dir)
	for _, options := range []string{"-comp gzip", "-comp zstd -b 1M", "-noI -noD -noF -noX", "-no-fragments -b 4096", "-always-use-fragments", "-no-exports -no-duplicates", "-comp xz -Xbcj x86", "-comp lz4"} {
		t.Run(options, func(t *testing.T) {
			img := mksquashfs(t, dir, strings.Fields(options)...)
			mnt := mount(t, img, "squashfs", "ro")
			defer unmount(t, mnt)
			sameAs{t, mnt, false}.compare(open(t, img, 0))
		})
	}
}

// Of a file mksquashfs leaves out the blocks that are nothing but zeroes, unless it
// is told not to. What is less than a block may be beside that of others.
func TestSquashFSTellsTheBlocksItLeavesOut(t *testing.T) {
	dir := t.TempDir()
	const block = 4096
	file, err := os.Create(filepath.Join(dir, "file"))
	must(t, err)
	for _, i := range []int64{2, 3, 7, 20} {
		_, err := file.WriteAt(noise(50), i*block)
		must(t, err)
	}
	must(t, errors.Join(file.Truncate(20*block+100), file.Close()))
	for options, want := range map[string]string{
		"-b 4096":               "2-4 7-8 20-",
		"-b 8192":               "2-4 6-8 20-",
		"-b 4096 -no-fragments": "2-4 7-8 20-",
		"-b 4096 -no-sparse":    "0-",
	} {
		n, err := open(t, mksquashfs(t, dir, strings.Fields(options)...), 0).Root().Lookup(t.Context(), vfs.Root, "file")
		must(t, err)
		f, err := n.Open(t.Context(), vfs.Root, vfs.OpenRead)
		must(t, err)
		h, got, used := f.(vfs.HoleSeeker), "", int64(0)
		for off := int64(0); ; {
			data, err := h.SeekData(t.Context(), off)
			if err != nil {
				break
			}
			hole, err := h.SeekHole(t.Context(), data)
			must(t, err)
			got += fmt.Sprintf("%d-%d ", data/block, hole/block)
			used += hole - data
			off = hole
		}
		must(t, f.Close())
		if got = strings.Replace(strings.TrimSpace(got), "-20", "-", 1); got != want {
			t.Errorf("%s: data is in blocks %s, want %s", options, got, want)
		}
		if a, _ := n.GetAttr(t.Context(), vfs.AttrAll); a.Used != uint64(used+block-1)/block*block {
			t.Errorf("%s: takes %d bytes, of which %d are data", options, a.Used, used)
		}
	}
}

// Where a block is shows by the sizes of all before it.
func TestSquashFSFindsBlocksOfLongFiles(t *testing.T) {
	const block, blocks = 4096, 3500
	want := noise(blocks*block + 99)
	clear(want[700*block : 900*block])
	clear(want[2040*block : 2060*block])
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), want, 0o644)
	for _, options := range []string{"-comp gzip -b 4096", "-comp lz4 -b 4096 -no-fragments"} {
		n, err := open(t, mksquashfs(t, dir, strings.Fields(options)...), 0).Root().Lookup(t.Context(), vfs.Root, "file")
		must(t, err)
		f, err := n.Open(t.Context(), vfs.Root, vfs.OpenRead)
		must(t, err)
		for _, at := range []int{3499, 0, 1023, 2047, 899, 3500, 2059, 1024} {
			part := want[at*block : min(len(want), (at+2)*block)]
			got := make([]byte, 2*block)
			if n, err := f.ReadAt(t.Context(), got, int64(at*block)); err != nil || !bytes.Equal(got[:n], part) {
				t.Errorf("%s: block %d is another, %v", options, at, err)
			}
		}
		all := make([]byte, len(want))
		if n, err := f.ReadAt(t.Context(), all, 0); err != nil || !bytes.Equal(all[:n], want) {
			t.Errorf("%s: the whole is another, %v", options, err)
		}
		must(t, f.Close())
	}
}

func TestSquashFSKeepsAttributesThatSeveralFilesShare(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"one", "two"} {
		write(t, filepath.Join(dir, name), nil, 0o644)
		if err := unix.Setxattr(filepath.Join(dir, name), "user.shared", noise(2000), 0); err != nil {
			t.Skipf("no extended attributes here: %v", err)
		}
		must(t, unix.Setxattr(filepath.Join(dir, name), "user.own", []byte(name), 0))
	}
	f := open(t, mksquashfs(t, dir), 0)
	for _, name := range []string{"one", "two"} {
		n, err := f.Root().Lookup(t.Context(), vfs.Root, name)
		must(t, err)
		for attribute, want := range map[string]string{"user.shared": string(noise(2000)), "user.own": name} {
			if got, err := n.(vfs.Xattrer).GetXattr(t.Context(), vfs.Root, attribute); err != nil || string(got) != want {
				t.Errorf("%s: %s is %.20q, %v", name, attribute, got, err)
			}
		}
	}
}

// calls are machine code that calls the same place over and over, by what is from
// there to here: a filter of xz packs that better.
func calls(size int, call func(at int) []byte) []byte {
	p := make([]byte, 0, size)
	for len(p) < size {
		p = append(p, call(len(p)%(128<<10))...) // filters count from the start of a block
	}
	return p
}

const called = 0x123450

var filters = map[string]func(at int) []byte{
	"x86": func(at int) []byte { return le.AppendUint32([]byte{0x90, 0x90, 0x90, 0xe8}, uint32(called-at-8)) },
	"arm": func(at int) []byte { return le.AppendUint32(nil, 0xeb000000|uint32(called-at-8)>>2&0xffffff) },
	"armthumb": func(at int) []byte {
		far := uint32(called-at-4) >> 1
		return le.AppendUint16(le.AppendUint16(nil, uint16(0xf000|far>>11&0x7ff)), uint16(0xf800|far&0x7ff))
	},
	"powerpc": func(at int) []byte { return be.AppendUint32(nil, 0x48000001|uint32(called-at)&0x03fffffc) },
	"sparc":   func(at int) []byte { return be.AppendUint32(nil, 0x40000000|uint32(called-at)>>2&0x3fffff) },
}

func TestSquashFSUnpacksWhateverItIsPackedBy(t *testing.T) {
	kinds := map[string]string{
		"gzip": "-comp gzip", "lzma": "-comp lzma", "lzo": "-comp lzo", "lzo, fast": "-comp lzo -Xalgorithm lzo1x_1", "xz": "-comp xz",
		"lz4": "-comp lz4", "lz4, small": "-comp lz4 -Xhc", "zstd": "-comp zstd",
	}
	for name := range filters {
		kinds[name] = "-comp xz -Xbcj " + name
	}
	for name, options := range kinds {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			call, ok := filters[name]
			if !ok {
				call = filters["x86"]
			}
			write(t, filepath.Join(dir, "calls"), calls(200_000, call), 0o644)
			write(t, filepath.Join(dir, "text"), []byte(strings.Repeat("all work and no play\n", 10_000)), 0o644)
			write(t, filepath.Join(dir, "noise"), noise(200_000), 0o644)
			img := mksquashfs(t, dir, strings.Fields(options)...)
			f := open(t, img, 0)
			list, err := os.ReadDir(dir)
			must(t, err)
			for _, e := range list {
				want, err := os.ReadFile(filepath.Join(dir, e.Name()))
				must(t, err)
				n, err := f.Root().Lookup(t.Context(), vfs.Root, e.Name())
				must(t, err)
				file, err := n.Open(t.Context(), vfs.Root, vfs.OpenRead)
				must(t, err)
				got := make([]byte, len(want)+1)
				if n, err := file.ReadAt(t.Context(), got, 0); err != nil || !bytes.Equal(got[:n], want) {
					t.Errorf("%d bytes of %s are others, %v", n, e.Name(), err)
				}
				must(t, file.Close())
			}
			if ok && !filtered(t, img) {
				t.Error("mksquashfs has not used the filter, so nothing is shown")
			}
		})
	}
}

// filtered says whether a block in an image is packed by xz with a filter: bits 0
// and 1 of the flags in its header (The .xz File Format, 3.1.2).
func filtered(t *testing.T, img string) bool {
	data, err := os.ReadFile(img)
	must(t, err)
	for _, block := range bytes.Split(data, []byte("\xfd7zXZ\x00"))[1:] {
		if len(block) > 7 && block[7]&3 == 1 {
			return true
		}
	}
	return false
}

func TestSquashFSThatCannotBeServedSaysWhy(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), noise(100_000), 0o644)
	for what, test := range map[string]struct {
		options string
		change  func(p []byte) []byte
		want    string
	}{
		"cut short":        {"-comp gzip", func(p []byte) []byte { return p[:50_000] }, "cut short"},
		"another method":   {"-comp gzip", func(p []byte) []byte { p[20] = 7; return p }, "packed by method 7"},
		"another lz4":      {"-comp lz4", func(p []byte) []byte { p[96+2] = 2; return p }, "lz4 in format 2"},
		"a filter of xz":   {"-comp xz -Xbcj x86", func(p []byte) []byte { p[96+2+4] |= 0x40; return p }, "xz with filters 0x40"},
		"another version":  {"-comp gzip", func(p []byte) []byte { p[28] = 3; return p }, "SquashFS 3.0"},
		"unlike its flags": {"-comp gzip", func(p []byte) []byte { p[25] |= 4; return p }, "metadata at"},
	} {
		img := mksquashfs(t, dir, strings.Fields(test.options)...)
		data, err := os.ReadFile(img)
		must(t, err)
		must(t, os.WriteFile(img, test.change(data), 0o600))
		if _, err := tryOpen(img, 0); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// BenchmarkSquashFS reads a program in an image, and has unsquashfs read it.
func BenchmarkSquashFS(b *testing.B) {
	program, err := os.Executable()
	must(b, err)
	want, err := os.ReadFile(program)
	must(b, err)
	for _, options := range []string{"-comp gzip", "-comp zstd", "-comp xz", "-comp xz -Xbcj x86", "-comp lz4", "-comp lzo", "-comp lzma"} {
		dir := b.TempDir()
		write(b, filepath.Join(dir, "program"), want, 0o644)
		img := mksquashfs(b, dir, strings.Fields(options)...)
		b.Run(options+"/here", func(b *testing.B) {
			b.SetBytes(int64(len(want)))
			for b.Loop() {
				f, err := tryOpen(img, 0)
				must(b, err)
				n, err := f.Root().Lookup(b.Context(), vfs.Root, "program")
				must(b, err)
				file, err := n.Open(b.Context(), vfs.Root, vfs.OpenRead)
				must(b, err)
				got := make([]byte, len(want))
				if n, err := file.ReadAt(b.Context(), got, 0); err != nil || n != len(want) {
					b.Fatalf("%d bytes, %v", n, err)
				}
				must(b, errors.Join(file.Close(), f.Close()))
			}
		})
		b.Run(options+"/unsquashfs", func(b *testing.B) {
			b.SetBytes(int64(len(want)))
			for b.Loop() {
				run(b, "unsquashfs", "-processors", "1", "-cat", img, "program")
			}
		})
	}
}

func FuzzSquashFS(f *testing.F) {
	dir := f.TempDir()
	write(f, filepath.Join(dir, "dir/file"), noise(5000), 0o644)
	write(f, filepath.Join(dir, "few"), []byte("few"), 0o644)
	must(f, os.Symlink("few", filepath.Join(dir, "link")))
	for _, options := range []string{"-comp gzip -b 4096", "-noI -noD -noF -b 4096", "-comp xz -b 4096", "-comp lz4 -b 4096", "-comp lzo -b 4096", "-comp lzma -b 4096"} {
		data, err := os.ReadFile(mksquashfs(f, dir, strings.Fields(options)...))
		must(f, err)
		f.Add(data)
	}
	fuzzImage(f)
}
