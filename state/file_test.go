package state

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
)

func TestDirectoryInUseIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	_, err := Open(dir)
	if err == nil || !strings.Contains(err.Error(), "state directory "+dir+" is in use by another appliance") {
		t.Error(err)
	}
	if err := s.PutClient(alice); err != nil {
		t.Errorf("the first one suffers: %v", err)
	}
}

func TestDirectoryThatCannotBeMadeIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(filepath.Join(file, "state")); err == nil || !strings.Contains(err.Error(), "cannot be made") {
		t.Error(err)
	}
}

func TestFileThatCannotBeOpenedIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, fileName), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "state.db cannot be used") {
		t.Error(err)
	}
}

func TestFileOfSomebodyElseIsRefusedWithTheWayOut(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may open every file")
	}
	dir := t.TempDir()
	open(t, dir).Close()
	if err := os.Chmod(filepath.Join(dir, fileName), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "read and write it and its directory, or name another with --state") {
		t.Error(err)
	}
}

func TestNewerFormatIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	err := s.update(func(tx *bolt.Tx) error { return putUint64(tx.Bucket(bucketMeta), keyFormat, format+1) })
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	for range 2 { // and the refusal gives the lock back
		if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "written by a newer appliance: it has format 2") {
			t.Error(err)
		}
	}
}

// filled returns the bytes of a state file with something in all its buckets.
func filled(t *testing.T) []byte {
	t.Helper()
	dir := t.TempDir()
	s := open(t, dir)
	for i := range 200 {
		if err := s.Bucket("table").Put(fmt.Append(nil, i), make([]byte, 200)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.PutClient(alice); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// openDamaged opens such bytes and uses what it gets, if anything.
func openDamaged(t *testing.T, file []byte) error {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, fileName), file, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(dir)
	if err != nil {
		return err
	}
	defer s.Close()
	if _, err := s.Clients(); err != nil {
		return err
	}
	return s.PutClient(alice)
}

func TestDamagedFileIsRefused(t *testing.T) {
	whole := filled(t)
	for name, file := range map[string][]byte{
		"not a database":   []byte("this is not a database"),
		"zeroes":           make([]byte, len(whole)),
		"cut short":        whole[:4*os.Getpagesize()],
		"a part of a page": whole[:5000],
		"no meta pages":    append(make([]byte, 8192), whole[8192:]...),
	} {
		err := openDamaged(t, file)
		if err == nil || !strings.Contains(err.Error(), "state.db") || !strings.Contains(err.Error(), "move it away") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := openDamaged(t, whole); err != nil {
		t.Errorf("undamaged: %v", err)
	}
}

// TestNoDamageCrashes overwrites each page in turn, and cuts the file at each.
// Some of them are free, or the older meta page: then all is well.
func TestNoDamageCrashes(t *testing.T) {
	whole := filled(t)
	page, refused := os.Getpagesize(), 0
	for at := 0; at < len(whole); at += page {
		for _, b := range []byte{0x00, 0xff, 0x5a} {
			file := append([]byte{}, whole...)
			for i := range page {
				file[at+i] = b
			}
			if openDamaged(t, file) != nil {
				refused++
			}
		}
		if at > 0 && openDamaged(t, whole[:at]) != nil {
			refused++
		}
	}
	if refused == 0 {
		t.Error("no damage was noticed")
	}
}

// childDir, in the environment, makes the test binary the process that
// TestRecordSurvivesKill kills.
const childDir = "FSVA_STATE_TEST_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		recordAndWait(dir)
	}
	os.Exit(m.Run())
}

func recordAndWait(dir string) {
	s, err := Open(dir)
	if err == nil {
		err = s.PutClient(alice)
	}
	fmt.Println("recorded:", err)
	bufio.NewReader(os.Stdin).ReadByte() // until killed, or the parent is gone
	os.Exit(1)
}

func TestRecordSurvivesKill(t *testing.T) {
	dir := t.TempDir()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childDir+"="+dir)
	child.Stderr = os.Stderr
	if _, err := child.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	child.Process.Kill()
	child.Wait()
	if err != nil || line != "recorded: <nil>\n" {
		t.Fatalf("the child says %q, %v", line, err)
	}
	s := open(t, dir)
	if got, err := s.Clients(); err != nil || !reflect.DeepEqual(got, []Client{alice}) {
		t.Errorf("%+v, %v", got, err)
	}
	if s.BootCount() != 2 {
		t.Errorf("boot count %d", s.BootCount())
	}
}
