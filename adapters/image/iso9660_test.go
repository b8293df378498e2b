package image_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/vfstest"
)

func mkisofs(t testing.TB, dir string, options ...string) string {
	t.Helper()
	img := filepath.Join(t.TempDir(), "image.iso")
	args := slices.Concat([]string{"-as", "mkisofs", "-quiet"}, options, []string{"-o", img, dir})
	// xorriso 1.5.4 was seen to crash once in a hundred runs.
	for range 3 {
		if exec.Command("xorriso", args...).Run() == nil {
			return img
		}
	}
	run(t, "xorriso", args...)
	return img
}

// apart makes files of their own of hard links.
func apart(want map[string]vfstest.Entry) {
	for path, e := range want {
		if e.SameAs != "" {
			want[path] = want[e.SameAs]
		}
	}
}

func TestRockRidgeKeepsTheContractOfReadOnlyFileSystems(t *testing.T) {
	dir, want := sourceTree(t)
	deep := "1/2/3/4/5/6/7/8/9/10/11/file"
	write(t, filepath.Join(dir, deep), []byte("deep"), 0o644)
	want[deep] = vfstest.Entry{Content: "deep", Mode: 0o644}
	long := "a name of 250 bytes" + strings.Repeat(".", 231)
	write(t, filepath.Join(dir, long), nil, 0o604)
	want[long] = vfstest.Entry{Mode: 0o604}
	for _, target := range []string{"/", "/usr/bin", "../..", "./x/../y", strings.Repeat("t", 255) + "/" + strings.Repeat("u", 255)} {
		name := "to " + strings.ReplaceAll(target[:min(len(target), 20)], "/", "!")
		must(t, os.Symlink(target, filepath.Join(dir, name)))
		want[name] = vfstest.Entry{Type: vfs.TypeSymlink, Target: target}
	}
	must(t, unix.Mknod(filepath.Join(dir, "fifo"), unix.S_IFIFO|0o600, 0))
	want["fifo"] = vfstest.Entry{Type: vfs.TypeFIFO, Mode: 0o600}
	if os.Getuid() == 0 {
		must(t, unix.Mknod(filepath.Join(dir, "device"), unix.S_IFBLK|0o600, int(unix.Mkdev(8, 17))))
		want["device"] = vfstest.Entry{Type: vfs.TypeBlock, Mode: 0o600, Rdev: vfs.Rdev{Major: 8, Minor: 17}}
	}
	apart(want)
	e := want["long link"] // Rock Ridge has no place for a slash at the end
	e.Target = strings.TrimSuffix(e.Target, "/")
	want["long link"] = e
	img := mkisofs(t, dir, "-R", "-J", "-joliet-long")
	vfstest.ReadOnly{Open: func(t testing.TB) vfs.FS { return openOnly(t, img) }, Want: want}.Run(t)
}

func TestNamesWithoutRockRidge(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "Directory/Readme.txt"), []byte("text"), 0o600)
	write(t, filepath.Join(dir, "Grüße aus dem Norden"), noise(5000), 0o600)
	for options, want := range map[string]map[string]vfstest.Entry{
		"-J":           {"Directory/Readme.txt": {Content: "text", Mode: 0o444}, "Grüße aus dem Norden": {Content: string(noise(5000))}},
		"-iso-level 1": {"director/readme.txt": {Content: "text", Mode: 0o444}},
	} {
		t.Run(options, func(t *testing.T) {
			img := mkisofs(t, dir, append(strings.Fields(options), "--norock")...)
			f := open(t, img, 0)
			for path, e := range want {
				n := f.Root()
				for part := range strings.SplitSeq(path, "/") {
					var err error
					if n, err = n.Lookup(t.Context(), vfs.Root, part); err != nil {
						t.Fatalf("%s: %v", path, err)
					}
				}
				file, err := n.Open(t.Context(), vfs.Root, vfs.OpenRead)
				must(t, err)
				got := make([]byte, len(e.Content)+1)
				k, err := file.ReadAt(t.Context(), got, 0)
				if err != nil || string(got[:k]) != e.Content {
					t.Errorf("%s: %d bytes, %v", path, k, err)
				}
				must(t, file.Close())
			}
		})
	}
}

func TestISOImageThatIsCutShortSaysSo(t *testing.T) {
	dir, _ := sourceTree(t)
	img := mkisofs(t, dir, "-R")
	must(t, os.Truncate(img, 500_000))
	if _, err := tryOpen(img, 0); err == nil || !strings.Contains(err.Error(), "cut short") && !strings.Contains(err.Error(), "not in the image") {
		t.Error(err)
	}
}

func FuzzISO9660(f *testing.F) {
	dir := f.TempDir()
	write(f, filepath.Join(dir, "dir/file"), noise(3000), 0o644)
	write(f, filepath.Join(dir, "few"), []byte("few"), 0o644)
	must(f, os.Symlink("dir/file", filepath.Join(dir, "link")))
	for _, options := range []string{"-R", "-J"} {
		data, err := os.ReadFile(mkisofs(f, dir, options, "-no-pad"))
		must(f, err)
		f.Add(data)
	}
	fuzzImage(f)
}
