package tree

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/fsva/fsva/vfs"
)

func openSome(t *testing.T, content string) (path string, f *File, log *bytes.Buffer) {
	t.Helper()
	path, log = filepath.Join(t.TempDir(), "archive"), new(bytes.Buffer)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, time.Time{}, time.Unix(1000, 5)); err != nil {
		t.Fatal(err)
	}
	f, err := OpenFile(path, zerolog.New(log))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return path, f, log
}

func TestReadsOfAFileThatWasWrittenToFailAndAreLoggedOnce(t *testing.T) {
	path, f, log := openSome(t, "content")
	p := make([]byte, 4)
	if n, err := f.ReadAt(p, 0); n != 4 || err != nil {
		t.Fatal(n, err)
	}
	if err := os.WriteFile(path, []byte("CONTENT"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if n, err := f.ReadAt(p, 0); n != 0 || vfs.ErrnoOf(err) != vfs.EIO {
			t.Errorf("%d bytes, %v", n, err)
		}
	}
	if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "written to") {
		t.Errorf("logged is %q", log)
	}
}

func TestAFileThatWasReplacedStaysWhatItWas(t *testing.T) {
	path, f, log := openSome(t, "content")
	if err := os.WriteFile(path+"2", []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+"2", path); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 7)
	if _, err := f.ReadAt(p, 0); err != nil || string(p) != "content" || log.Len() > 0 {
		t.Errorf("%q, %v, %s", p, err, log)
	}
}

func TestFingerprintsAreOfContentAndTime(t *testing.T) {
	_, f, _ := openSome(t, "content")
	_, same, _ := openSome(t, "content")
	_, other, _ := openSome(t, "contenT")
	path, later, _ := openSome(t, "content")
	if err := os.Chtimes(path, time.Time{}, time.Unix(1000, 6)); err != nil {
		t.Fatal(err)
	}
	later.Close()
	later, err := OpenFile(path, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer later.Close()
	print := func(f *File, kind string) Fingerprint {
		p, err := f.Fingerprint(kind)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	base := print(f, "kind")
	if print(same, "kind") != base {
		t.Error("the same file has two fingerprints")
	}
	if print(other, "kind") == base || print(later, "kind") == base || print(f, "kind2") == base {
		t.Error("another file has the same fingerprint")
	}
}

func TestOnlyRegularFilesAreOpened(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{fifo, t.TempDir(), "/dev/null", filepath.Join(t.TempDir(), "missing")} {
		if f, err := OpenFile(path, zerolog.Nop()); err == nil {
			t.Errorf("%s opens", path)
			f.Close()
		} else if !strings.Contains(err.Error(), path) {
			t.Errorf("%v does not name %s", err, path)
		}
	}
}
