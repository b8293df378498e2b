package host

import (
	"bytes"
	"strings"
	"testing"

	"github.com/fsva/fsva/vfs"
)

func TestFullFileSystemSaysENOSPC(t *testing.T) {
	for _, kind := range []string{"tmpfs", "ext4"} {
		t.Run(kind, func(t *testing.T) {
			dir := ""
			if kind == "tmpfs" {
				dir = mountTmpfs(t, "1m")
			} else {
				dir = mountLoop(t, kind)
			}
			fs := serve(t, dir, Options{})
			n, f := create(t, fs.Root(), "big")
			defer f.Close()
			block := bytes.Repeat([]byte{1}, 1<<20)
			var off int64
			for {
				put, _, err := f.WriteAt(ctx, block, off, vfs.Unstable)
				off += int64(put)
				if err != nil {
					wantErr(t, "write", err, vfs.ENOSPC)
					break
				}
				if off > 1<<30 {
					t.Fatal("the file system takes more than it has")
				}
			}
			if a := must[vfs.Attr](t)(n.GetAttr(ctx, vfs.AttrSize)); int64(a.Size) != off {
				t.Errorf("size %d, written %d", a.Size, off)
			}
			st := must[vfs.StatFS](t)(fs.StatFS(ctx))
			if st.AvailBytes > 1<<20 || st.TotalBytes == 0 {
				t.Errorf("statfs %+v of a full file system", st)
			}
			if kind == "tmpfs" {
				wantErr(t, "allocate", f.(vfs.Allocator).Allocate(ctx, 0, 16<<20), vfs.ENOSPC)
			}
			if err := n.SetAttr(ctx, vfs.Root, &vfs.SetAttr{Set: vfs.SetSize}); err != nil {
				t.Fatal(err)
			}
			write(t, f, "room again")
		})
	}
}

func TestHolesAreFound(t *testing.T) {
	fs := serve(t, t.TempDir(), Options{})
	if !fs.Caps().Holes {
		t.Skip("the temporary directory is on a file system without holes")
	}
	n, f := create(t, fs.Root(), "sparse")
	defer f.Close()
	const hole = 1 << 20
	block := bytes.Repeat([]byte{1}, 64<<10)
	if _, _, err := f.WriteAt(ctx, block, hole, vfs.FileSync); err != nil {
		t.Fatal(err)
	}
	h := f.(vfs.HoleSeeker)
	end := int64(hole + len(block))
	check := func(what string, got int64, err error, want int64, wantE vfs.Errno) {
		t.Helper()
		if wantErr(t, what, err, wantE); err == nil && got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	got, err := h.SeekData(ctx, 0)
	check("data from the start", got, err, hole, 0)
	got, err = h.SeekHole(ctx, 0)
	check("hole from the start", got, err, 0, 0)
	got, err = h.SeekHole(ctx, hole)
	check("hole from the data", got, err, end, 0)
	_, err = h.SeekData(ctx, end)
	check("data from the end", 0, err, 0, vfs.ENXIO)
	_, err = h.SeekHole(ctx, end+1)
	check("hole past the end", 0, err, 0, vfs.ENXIO)

	a := f.(vfs.Allocator)
	wantErr(t, "deallocate", a.Deallocate(ctx, hole, int64(len(block))), 0)
	_, err = h.SeekData(ctx, 0)
	check("data after punching it", 0, err, 0, vfs.ENXIO)
	wantErr(t, "allocate", a.Allocate(ctx, 0, 2*end), 0)
	if attr := must[vfs.Attr](t)(n.GetAttr(ctx, vfs.AttrStat)); attr.Size != uint64(2*end) || attr.Used < attr.Size {
		t.Errorf("size %d, used %d after allocating %d", attr.Size, attr.Used, 2*end)
	}
}

func TestCopyRange(t *testing.T) {
	bothKinds(t, func(t *testing.T, dir string, opts Options) {
		fs := serve(t, dir, opts)
		_, src := create(t, fs.Root(), "src")
		defer src.Close()
		_, dst := create(t, fs.Root(), "dst")
		defer dst.Close()
		write(t, src, "0123456789")
		c := src.(vfs.RangeCopier)
		for _, through := range []bool{false, true} {
			n, err := int64(0), error(nil)
			if through {
				n, err = src.(*file).copyThrough(ctx, dst.(*file), 2, 4, 100)
			} else {
				n, err = c.CopyRange(ctx, 2, dst, 4, 100)
			}
			if n != 8 || err != nil {
				t.Fatalf("copied %d, %v", n, err)
			}
			if got := read(t, dst); got != "\x00\x00\x00\x0023456789" {
				t.Errorf("through memory %v: %q", through, got)
			}
		}
		if n, err := c.CopyRange(ctx, 10, dst, 0, 5); n != 0 || err != nil {
			t.Errorf("copy from the end: %d, %v", n, err)
		}
		_, err := c.CopyRange(ctx, 0, src, 1, 5)
		wantErr(t, "overlapping copy", err, vfs.EINVAL)
		_, err = c.CopyRange(ctx, -1, dst, 0, 5)
		wantErr(t, "negative offset", err, vfs.EINVAL)
	})
}

func TestCloneSharesBlocks(t *testing.T) {
	for _, kind := range []string{"xfs", "btrfs", "ext4"} {
		t.Run(kind, func(t *testing.T) {
			fs := serve(t, mountLoop(t, kind), Options{})
			_, src := create(t, fs.Root(), "src")
			defer src.Close()
			_, dst := create(t, fs.Root(), "dst")
			defer dst.Close()
			const size = 32 << 20
			if _, _, err := src.WriteAt(ctx, bytes.Repeat([]byte("clone me"), size/8), 0, vfs.FileSync); err != nil {
				t.Fatal(err)
			}
			before := must[vfs.StatFS](t)(fs.StatFS(ctx)).FreeBytes
			err := src.(vfs.Cloner).CloneRange(ctx, 0, dst, 0, 0)
			if kind == "ext4" {
				wantErr(t, "clone", err, vfs.EOPNOTSUPP)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := dst.Sync(ctx, false); err != nil {
				t.Fatal(err)
			}
			if got := read(t, dst); !strings.HasPrefix(got, "clone me") {
				t.Errorf("read %q", got[:8])
			}
			if after := must[vfs.StatFS](t)(fs.StatFS(ctx)).FreeBytes; before > after+size/2 {
				t.Errorf("cloning %d bytes took %d", size, before-after)
			}
			wantErr(t, "unaligned clone", src.(vfs.Cloner).CloneRange(ctx, 1, dst, 0, 10), vfs.EINVAL)
		})
	}
}

func TestExtendedAttributes(t *testing.T) {
	bothKinds(t, func(t *testing.T, dir string, opts Options) {
		fs := serve(t, dir, opts)
		if !fs.Caps().Xattrs {
			t.Skip("the temporary directory is on a file system without extended attributes")
		}
		n, f := create(t, fs.Root(), "file")
		f.Close()
		x := n.(vfs.Xattrer)
		_, err := x.GetXattr(ctx, vfs.Root, "user.a")
		wantErr(t, "get what is not there", err, vfs.ENODATA)
		wantErr(t, "replace what is not there", x.SetXattr(ctx, vfs.Root, "user.a", []byte("v"), vfs.XattrReplace), vfs.ENODATA)
		long := bytes.Repeat([]byte("v"), 1000)
		wantErr(t, "set", x.SetXattr(ctx, vfs.Root, "user.a", long, vfs.XattrCreate), 0)
		wantErr(t, "create again", x.SetXattr(ctx, vfs.Root, "user.a", nil, vfs.XattrCreate), vfs.EEXIST)
		wantErr(t, "set empty", x.SetXattr(ctx, vfs.Root, "user.b", nil, 0), 0)
		if v, err := x.GetXattr(ctx, vfs.Root, "user.a"); err != nil || !bytes.Equal(v, long) {
			t.Errorf("got %d bytes, %v", len(v), err)
		}
		if v, err := x.GetXattr(ctx, vfs.Root, "user.b"); err != nil || len(v) != 0 {
			t.Errorf("got %q, %v", v, err)
		}
		names := make(map[string]bool)
		list, err := x.ListXattr(ctx, vfs.Root)
		for _, name := range list {
			names[name] = true
		}
		if err != nil || !names["user.a"] || !names["user.b"] {
			t.Errorf("list %v, %v", list, err)
		}
		wantErr(t, "remove", x.RemoveXattr(ctx, vfs.Root, "user.a"), 0)
		wantErr(t, "remove again", x.RemoveXattr(ctx, vfs.Root, "user.a"), vfs.ENODATA)
		link, _, err := fs.Root().Symlink(ctx, vfs.Root, "link", "file", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := link.(vfs.Xattrer).SetXattr(ctx, vfs.Root, "user.c", nil, 0); err == nil {
			t.Error("an attribute was set through a symbolic link")
		}
	})
}
