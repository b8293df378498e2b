package state

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

var alice = Client{Owner: []byte("Linux NFSv4.1 alice"), Verifier: [8]byte{1, 2, 3}, Principal: "1:0", Addr: "10.77.0.2:823", Boot: 1}

// stores runs a test on a directory and on no directory.
func stores(t *testing.T, test func(t *testing.T, s *Store)) {
	t.Run("durable", func(t *testing.T) { test(t, open(t, t.TempDir())) })
	t.Run("volatile", func(t *testing.T) { test(t, open(t, "")) })
}

func TestReopenKeepsEverything(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "on demand")
	s := open(t, dir)
	id := s.ServerID()
	secret, err := s.Secret("handles", 32)
	if err != nil {
		t.Fatal(err)
	}
	number, err := s.ExportID("data")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.PutClient(alice); err != nil {
		t.Fatal(err)
	}
	if err := s.Bucket("inodes").Put([]byte("key"), []byte("value")); err != nil {
		t.Fatal(err)
	}
	if s.BootCount() != 1 {
		t.Errorf("first boot count %d", s.BootCount())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = open(t, dir)
	if s.ServerID() != id || id == [16]byte{} {
		t.Errorf("server id %x, was %x", s.ServerID(), id)
	}
	if s.BootCount() != 2 {
		t.Errorf("second boot count %d", s.BootCount())
	}
	if got, err := s.Secret("handles", 32); err != nil || !bytes.Equal(got, secret) {
		t.Errorf("secret %x, was %x, %v", got, secret, err)
	}
	if got, err := s.ExportID("data"); err != nil || got != number {
		t.Errorf("export %d, was %d, %v", got, number, err)
	}
	if got, err := s.Clients(); err != nil || !reflect.DeepEqual(got, []Client{alice}) {
		t.Errorf("clients %+v, %v", got, err)
	}
	if got, err := s.Bucket("inodes").Get([]byte("key")); err != nil || string(got) != "value" {
		t.Errorf("value %q, %v", got, err)
	}
}

func TestStateIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	open(t, dir).Close()
	file := filepath.Join(dir, fileName)
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
	for path, want := range map[string]os.FileMode{dir: os.ModeDir | 0o700, file: 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("%s: mode %v, want %v, %v", path, info.Mode(), want, err)
		}
	}
}

func TestVolatileStoresShareNothing(t *testing.T) {
	a, b := open(t, ""), open(t, "")
	if a.ServerID() == b.ServerID() {
		t.Error("same server id")
	}
	if a.BootCount() != 1 || b.BootCount() != 1 {
		t.Error("boot count is not 1")
	}
	if err := a.PutClient(alice); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Clients(); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestSecretsDiffer(t *testing.T) {
	stores(t, func(t *testing.T, s *Store) {
		a, err := s.Secret("a", 16)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := s.Secret("b", 16); err != nil || bytes.Equal(a, b) || len(b) != 16 {
			t.Errorf("%x and %x, %v", a, b, err)
		}
		if _, err := s.Secret("a", 32); err == nil {
			t.Error("a secret changed its length")
		}
		if _, err := s.Secret("c", 0); err == nil {
			t.Error("an empty secret is made")
		}
	})
}

func TestExportNumbersDiffer(t *testing.T) {
	stores(t, func(t *testing.T, s *Store) {
		seen := make(map[uint32]string)
		for _, name := range []string{"a", "b", "c", "a"} {
			id, err := s.ExportID(name)
			if err != nil || id == 0 {
				t.Fatal(id, err)
			}
			if other, ok := seen[id]; ok && other != name {
				t.Errorf("%s and %s are both %d", name, other, id)
			}
			seen[id] = name
		}
		if len(seen) != 3 {
			t.Errorf("%v", seen)
		}
		if _, err := s.ExportID(""); err == nil {
			t.Error("an export without a name gets a number")
		}
	})
}

func TestClients(t *testing.T) {
	stores(t, func(t *testing.T, s *Store) {
		nameless, bob := Client{Owner: []byte{}, Boot: 3}, Client{Owner: []byte("bob\x00\xff"), Addr: "[::1]:7"}
		for _, c := range []Client{bob, alice, nameless, bob} {
			if err := s.PutClient(c); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := s.Clients(); err != nil || !reflect.DeepEqual(got, []Client{nameless, alice, bob}) {
			t.Errorf("%+v, %v", got, err)
		}
		for _, owner := range []string{"bob\x00\xff", "nobody", ""} {
			if err := s.DeleteClient([]byte(owner)); err != nil {
				t.Error(err)
			}
		}
		if got, err := s.Clients(); err != nil || !reflect.DeepEqual(got, []Client{alice}) {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

func TestBucket(t *testing.T) {
	stores(t, func(t *testing.T, s *Store) {
		b := s.Bucket("table")
		if v, err := b.Get([]byte("a")); v != nil || err != nil {
			t.Errorf("of a table that is not there: %q, %v", v, err)
		}
		err := b.Apply([]Change{
			{[]byte("a1"), []byte("1")}, {[]byte("a2"), []byte{}}, {[]byte("a3"), []byte("3")}, {[]byte("b"), []byte("4")}, {Key: []byte("a3")},
		})
		if err != nil {
			t.Fatal(err)
		}
		if v, err := b.Get([]byte("a2")); v == nil || len(v) != 0 || err != nil {
			t.Errorf("empty value: %v, %v", v, err)
		}
		if v, err := s.Bucket("other").Get([]byte("a1")); v != nil || err != nil {
			t.Errorf("of another table: %q, %v", v, err)
		}
		for prefix, want := range map[string][]string{"a": {"a1", "a2"}, "": {"a1", "a2", "b"}, "c": nil} {
			var got []string
			err := b.ForEach([]byte(prefix), func(k, _ []byte) error { got = append(got, string(k)); return nil })
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("prefix %q: %v, want %v, %v", prefix, got, want, err)
			}
		}
		if err := b.Delete([]byte("a1")); err != nil {
			t.Error(err)
		}
		if v, err := b.Get([]byte("a1")); v != nil || err != nil {
			t.Errorf("after Delete: %q, %v", v, err)
		}
	})
}

func TestApplyMakesAllChangesOrNone(t *testing.T) {
	stores(t, func(t *testing.T, s *Store) {
		b := s.Bucket("table")
		if err := b.Apply([]Change{{[]byte("a"), []byte("1")}, {make([]byte, MaxKey+1), []byte("2")}}); err == nil {
			t.Error("a key that is too long passes")
		}
		if v, err := b.Get([]byte("a")); v != nil || err != nil {
			t.Errorf("%q, %v", v, err)
		}
	})
}
