package image_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/vfstest"
)

// ext4Kinds are options of mke2fs that lead to other structures on the disk.
var ext4Kinds = []struct{ name, options string }{
	{"ext4", "-t ext4"},
	{"ext4 in blocks of 1 KiB", "-t ext4 -b 1024 -g 1024"},
	{"ext4 in blocks of 2 KiB with inodes of 1 KiB", "-t ext4 -b 2048 -I 1024"},
	{"ext3 in blocks of 1 KiB", "-t ext3 -b 1024"},
	{"ext2 in blocks of 1 KiB with small inodes", "-t ext2 -b 1024 -I 128"},
	{"ext2 of revision 0", "-t ext2 -r 0 -b 1024"},
	{"32 bits, no checksums", "-t ext4 -O ^64bit,^metadata_csum,uninit_bg"},
	{"descriptors in each group", "-t ext4 -b 1024 -g 512 -O meta_bg,^resize_inode"},
	{"two copies of the superblock", "-t ext4 -O sparse_super2 -b 1024 -g 1024"},
	{"a copy in each group", "-t ext4 -O ^sparse_super,^resize_inode,meta_bg -b 1024 -g 1024"},
	{"inline data", "-t ext4 -O inline_data"},
	{"inline data in small blocks", "-t ext4 -O inline_data -b 1024 -I 512"},
	{"inodes for attributes", "-t ext4 -O ea_inode"},
	{"clusters and large directories", "-t ext4 -O bigalloc,large_dir -C 16384"},
	{"clusters of small blocks", "-t ext4 -b 1024 -O bigalloc -C 16384"},
	{"a seed of its own", "-t ext4 -O metadata_csum_seed"},
	{"no types in directories", "-t ext4 -O ^filetype"},
	{"no extents", "-t ext4 -O ^extents,^64bit"},
	{"multiple mount protection", "-t ext4 -O mmp"},
}

func mke2fs(t testing.TB, img, options string, more ...string) {
	t.Helper()
	run(t, "mke2fs", append(append([]string{"-q", "-F"}, strings.Fields(options)...), append(more, img)...)...)
}

func TestExt4KeepsTheContractOfReadOnlyFileSystems(t *testing.T) {
	for _, options := range []string{"-t ext4", "-t ext2 -b 1024 -I 128", "-t ext4 -O inline_data", "-t ext4 -b 65536"} {
		t.Run(options, func(t *testing.T) {
			dir, want := sourceTree(t)
			want["lost+found"] = vfstest.Entry{Type: vfs.TypeDirectory, Mode: 0o700}
			img := blank(t, 64<<20)
			mke2fs(t, img, options, "-d", dir)
			vfstest.ReadOnly{Open: func(t testing.TB) vfs.FS { return openOnly(t, img) }, Want: want}.Run(t)
		})
	}
}

// populate has the kernel make files of all kinds.
func populate(t testing.TB, dir string) {
	at := func(name string) string { return filepath.Join(dir, name) }
	write(t, at("large"), noise(2_000_000), 0o644)
	for _, n := range []int{1, 59, 60, 61, 100, 150, 160, 1000, 4096, 4097} {
		write(t, at(fmt.Sprintf("of %d bytes", n)), noise(n), 0o640)
	}
	fragmented(t, at("fragmented"))
	f, err := os.Create(at("sparse"))
	must(t, err)
	for _, off := range []int64{0, 11 << 10, 12 << 10, 267 << 10, 268 << 10, 4 << 20, 65804 << 10, 69 << 20} {
		_, err = f.WriteAt([]byte("here"), off)
		must(t, err)
	}
	must(t, f.Truncate(70<<20))
	must(t, f.Close())
	f, err = os.Create(at("allocated"))
	must(t, err)
	_ = unix.Fallocate(int(f.Fd()), 0, 0, 1<<20) // where it can
	_, err = f.WriteAt([]byte("written"), 300_000)
	must(t, err)
	must(t, f.Truncate(1<<20))
	must(t, f.Close())
	must(t, os.Mkdir(at("hashed"), 0o755))
	for i := range 1200 {
		must(t, os.WriteFile(at(fmt.Sprintf("hashed/a rather long name of file number %d", i)), nil, 0o600))
	}
	for i := range 400 {
		must(t, os.Remove(at(fmt.Sprintf("hashed/a rather long name of file number %d", i*3))))
	}
	for i := range 5 { // a directory that may be in its inode
		write(t, at(fmt.Sprintf("few/%d", i)), nil, 0o644)
	}
	for i := range 70 {
		must(t, os.MkdirAll(at(fmt.Sprintf("directories/%d", i)), 0o755))
	}
	for _, n := range []int{1, 58, 59, 60, 61, 1023, 4095} {
		_ = os.Symlink(strings.Repeat("t", n), at(fmt.Sprintf("target of %d", n))) // as long as a block
	}
	must(t, os.Link(at("large"), at("few/large")))
	must(t, unix.Mknod(at("fifo"), unix.S_IFIFO|0o600, 0))
	must(t, unix.Mknod(at("socket"), unix.S_IFSOCK|0o600, 0))
	must(t, unix.Mknod(at("old device"), unix.S_IFBLK|0o600, int(unix.Mkdev(8, 17))))
	must(t, unix.Mknod(at("new device"), unix.S_IFCHR|0o666, int(unix.Mkdev(259, 70000))))
	must(t, os.Chown(at("few/1"), 70000, 4000000))
	must(t, os.Chmod(at("few/2"), 0o7123&0o777|os.ModeSetuid|os.ModeSticky))
	for i, year := range []int{1902, 1969, 2037, 2040, 2200, 2440} {
		when := time.Date(year, 5, 6, 7, 8, 9, 123456789, time.UTC)
		must(t, os.Chtimes(at(fmt.Sprintf("few/%d", i%5)), when, when))
	}
	must(t, unix.Setxattr(at("large"), "user.small", []byte("value"), 0))
	must(t, unix.Setxattr(at("large"), "security.other", noise(200), 0))
	must(t, unix.Setxattr(at("large"), "trusted.hidden", []byte{}, 0))
	must(t, unix.Setxattr(at("few"), "user.on a directory", noise(400), 0))
	must(t, unix.Setxattr(at("of 60 bytes"), "user.beside data", noise(30), 0))
	_ = unix.Setxattr(at("of 61 bytes"), "user.large", noise(50_000), 0) // ea_inode has room for it
	_ = unix.Setxattr(at("few/3"), "system.posix_acl_access", acl, 0)
}

// acl keeps user 5 out and lets the group read.
var acl = []byte{
	2, 0, 0, 0,
	1, 0, 6, 0, 255, 255, 255, 255, // user::rw-
	2, 0, 0, 0, 5, 0, 0, 0, // user:5:---
	4, 0, 4, 0, 255, 255, 255, 255, // group::r--
	16, 0, 7, 0, 255, 255, 255, 255, // mask::rwx
	32, 0, 4, 0, 255, 255, 255, 255, // other::r--
}

// fragmented makes a file of many extents: two files that grow in turns, and holes.
func fragmented(t testing.TB, path string) {
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	for i := range 1200 {
		_, err = f.WriteAt([]byte{byte(i), 1}, int64(i)*8192)
		must(t, err)
	}
}

func TestExt4IsWhatTheKernelShows(t *testing.T) {
	for _, kind := range ext4Kinds {
		t.Run(kind.name, func(t *testing.T) {
			img := blank(t, 96<<20)
			mke2fs(t, img, kind.options, "-N", "8192")
			dir := mount(t, img, "ext4", "nodelalloc,user_xattr,acl")
			populate(t, dir)
			unmount(t, dir)
			dir = mount(t, img, "ext4", "ro,noatime")
			defer unmount(t, dir)
			sameAs{t, dir, true}.compare(open(t, img, 0))
		})
	}
}

func TestAccessListsOnlyTakeAway(t *testing.T) {
	img := blank(t, 32<<20)
	mke2fs(t, img, "-t ext4")
	dir := mount(t, img, "ext4", "acl")
	write(t, filepath.Join(dir, "file"), nil, 0o644)
	must(t, unix.Setxattr(filepath.Join(dir, "file"), "system.posix_acl_access", acl, 0))
	unmount(t, dir)
	n, err := open(t, img, 0).Root().Lookup(t.Context(), vfs.Root, "file")
	must(t, err)
	if a, _ := n.GetAttr(t.Context(), vfs.AttrMode); a.Mode != 0o600 {
		t.Errorf("the mode is %o: user 5 may read as one of the others", a.Mode)
	}
}

// change has debugfs change an image.
func change(t testing.TB, img string, commands ...string) {
	t.Helper()
	script := filepath.Join(t.TempDir(), "commands")
	must(t, os.WriteFile(script, []byte(strings.Join(commands, "\n")+"\n"), 0o600))
	if out := run(t, "debugfs", "-w", "-f", script, img); strings.Contains(out, "not found") || strings.Contains(out, "Usage") {
		t.Fatal(out)
	}
}

func TestExt4ThatCannotBeServedSaysWhy(t *testing.T) {
	whole := blank(t, 8<<20)
	mke2fs(t, whole, "-t ext4 -b 1024")
	data, err := os.ReadFile(whole)
	must(t, err)
	for what, test := range map[string]struct {
		commands []string
		size     int64
		want     string
	}{
		"needs recovery":    {commands: []string{"feature needs_recovery"}, want: "e2fsck -p"},
		"unknown feature":   {commands: []string{"feature FEATURE_I25"}, want: "FEATURE_I0x2000000"},
		"journal":           {commands: []string{"feature journal_dev"}, want: "external journal"},
		"dirdata":           {commands: []string{"feature dirdata"}, want: "uses dirdata"},
		"cut short":         {size: 4 << 20, want: "cut short"},
		"only a superblock": {size: 2048, want: "cut short"},
		"root is a file":    {commands: []string{"sif <2> mode 0100644"}, want: "root is no directory"},
		"no root":           {commands: []string{"sif <2> links_count 0"}, want: "not in use"},
		"bad inode size":    {commands: []string{"ssv inode_size 200"}, want: "cannot have 200 bytes"},
		"no inodes":         {commands: []string{"ssv inodes_per_group 0"}, want: "no sense"},
	} {
		img := filepath.Join(t.TempDir(), "bad.img")
		must(t, os.WriteFile(img, data, 0o600))
		if test.commands != nil {
			change(t, img, test.commands...)
		} else {
			must(t, os.Truncate(img, test.size))
		}
		if _, err := tryOpen(img, 0); err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), img) {
			t.Errorf("%s: %v, want %q", what, err, test.want)
		}
	}
}

func TestDamagedMetadataIsAnErrorAndNotAnotherFile(t *testing.T) {
	dir, _ := sourceTree(t)
	img := blank(t, 64<<20)
	mke2fs(t, img, "-t ext4 -b 4096", "-d", dir)
	for what, test := range map[string]struct{ find, path string }{
		"a directory": {"\x01a file with a long name and number 149", "many"},
		"an inode":    {"", "small"},
	} {
		data, err := os.ReadFile(img)
		must(t, err)
		at := bytes.Index(data, []byte(test.find)) + len(test.find) - 1 // behind the type of an entry
		if test.find == "" {
			at = inodeOffset(t, img, test.path)
		}
		data[at] ^= 1
		bad := filepath.Join(t.TempDir(), "bad.img")
		must(t, os.WriteFile(bad, data, 0o600))
		root := open(t, bad, 0).Root()
		n, err := root.Lookup(t.Context(), vfs.Root, test.path)
		if err == nil {
			_, err = n.ReadDir(t.Context(), vfs.Root, 0, 0, func(*vfs.DirEntry) bool { return true })
		}
		if vfs.ErrnoOf(err) != vfs.EIO || !strings.Contains(err.Error(), "checksum") {
			t.Errorf("%s: %v", what, err)
		}
		if n, err := root.Lookup(t.Context(), vfs.Root, "none"); err != nil {
			t.Errorf("%s: another file is lost with it: %v", what, err)
		} else if _, err := n.GetAttr(t.Context(), vfs.AttrStat); err != nil {
			t.Error(err)
		}
	}
}

// inodeOffset is where an inode is in an image.
func inodeOffset(t testing.TB, img, path string) int {
	t.Helper()
	out := run(t, "debugfs", "-R", "imap "+path, img)
	_, place, _ := strings.Cut(out, "located at block ")
	var block, offset int
	if _, err := fmt.Sscanf(place, "%d, offset 0x%x", &block, &offset); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	return block*4096 + offset
}

func TestDirectoryIsReachedOnlyThroughItsParent(t *testing.T) {
	dir, _ := sourceTree(t)
	img := blank(t, 64<<20)
	mke2fs(t, img, "-t ext4 -O ^metadata_csum", "-d", dir)
	change(t, img, "ln deep deep/er/loop", "ln / empty/root", "ln dir empty/second", "ln <8> empty/journal")
	root := open(t, img, 0).Root()
	for _, path := range []string{"deep/er/loop", "empty/root", "empty/second", "empty/journal"} {
		n := root
		var err error
		for part := range strings.SplitSeq(path, "/") {
			if n, err = n.Lookup(t.Context(), vfs.Root, part); err != nil {
				break
			}
		}
		if vfs.ErrnoOf(err) != vfs.EIO {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestHandlesEndWithTheImageTheyAreOf(t *testing.T) {
	dir, _ := sourceTree(t)
	img := blank(t, 64<<20)
	mke2fs(t, img, "-t ext4", "-d", dir)
	first := open(t, img, 0)
	n, err := first.Root().Lookup(t.Context(), vfs.Root, "small")
	must(t, err)
	if same, err := open(t, img, 0).Resolve(t.Context(), n.Handle()); err != nil || !bytes.Equal(same.Handle(), n.Handle()) {
		t.Errorf("after a restart: %v", err)
	}
	change(t, img, "rm none")
	if _, err := open(t, img, 0).Resolve(t.Context(), n.Handle()); vfs.ErrnoOf(err) != vfs.ESTALE {
		t.Errorf("after a change: %v", err)
	}
	if _, err := n.GetAttr(t.Context(), vfs.AttrStat); err != nil {
		t.Errorf("what was read before: %v", err)
	}
	if _, err := first.Root().Lookup(t.Context(), vfs.Root, "dir"); vfs.ErrnoOf(err) != vfs.EIO {
		t.Errorf("what is read after: %v", err)
	}
}

func TestValueOfAnAttributeInAnInodeOfItsOwn(t *testing.T) {
	img := blank(t, 32<<20)
	mke2fs(t, img, "-t ext4 -b 4096 -O ea_inode")
	value := filepath.Join(t.TempDir(), "value")
	must(t, os.WriteFile(value, noise(4096), 0o600)) // with the header more than a block
	change(t, img, "write /dev/null file", "ea_set -f "+value+" file user.large", "ea_set file user.small x")
	n, err := open(t, img, 0).Root().Lookup(t.Context(), vfs.Root, "file")
	must(t, err)
	got, err := n.(vfs.Xattrer).GetXattr(t.Context(), vfs.Root, "user.large")
	if err != nil || !bytes.Equal(got, noise(4096)) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func FuzzExt4(f *testing.F) {
	dir := f.TempDir()
	write(f, filepath.Join(dir, "dir/file"), noise(20_000), 0o644)
	write(f, filepath.Join(dir, "few"), []byte("few"), 0o644)
	must(f, os.Symlink(strings.Repeat("t", 80), filepath.Join(dir, "link")))
	for _, options := range []string{"-t ext2 -b 1024", "-t ext4 -b 1024 -O ^has_journal,^metadata_csum,inline_data", "-t ext4 -b 1024 -O ^has_journal"} {
		img := blank(f, 128<<10)
		mke2fs(f, img, options+" -N 16", "-d", dir)
		data, err := os.ReadFile(img)
		must(f, err)
		f.Add(data)
	}
	fuzzImage(f)
}
