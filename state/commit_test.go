package state

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// txID is the number of the last committed transaction.
func txID(t *testing.T, s *Store) (id int) {
	t.Helper()
	if err := s.view(func(tx *bolt.Tx) error { id = tx.ID(); return nil }); err != nil {
		t.Fatal(err)
	}
	return id
}

// gather has n callers wait in one group while nothing can be written, then
// lets it go, and returns what came back.
func gather(s *Store, n int, call func(i int) error) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	s.writing.Lock()
	for i := range n {
		wg.Go(func() { errs[i] = call(i) })
	}
	for waiting := 0; waiting < n; runtime.Gosched() {
		s.mu.Lock()
		if s.next != nil {
			waiting = len(s.next.changes)
		}
		s.mu.Unlock()
	}
	s.writing.Unlock()
	wg.Wait()
	return errs
}

func TestCallersAtTheSameTimeShareACommit(t *testing.T) {
	s := open(t, t.TempDir())
	const callers = 50
	before := txID(t, s)
	errs := gather(s, callers, func(i int) error { return s.PutClient(Client{Owner: fmt.Append(nil, i)}) })
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if n := txID(t, s) - before; n != 1 {
		t.Errorf("%d commits", n)
	}
	if got, err := s.Clients(); err != nil || len(got) != callers {
		t.Errorf("%d clients, %v", len(got), err)
	}
}

func TestChangeThatFailsSparesItsGroup(t *testing.T) {
	s := open(t, "")
	wrong, broken := errors.New("wrong"), "broken"
	errs := gather(s, 9, func(i int) error {
		return s.update(func(tx *bolt.Tx) error {
			if err := tx.Bucket(bucketSecrets).Put(fmt.Append(nil, i), []byte{1}); err != nil {
				return err
			}
			switch i {
			case 3:
				return wrong
			case 4:
				panic(broken)
			}
			return nil
		})
	})
	for i, err := range errs {
		failed := i == 3 || i == 4
		if (err != nil) != failed {
			t.Errorf("change %d: %v", i, err)
		}
		s.view(func(tx *bolt.Tx) error {
			if there := tx.Bucket(bucketSecrets).Get(fmt.Append(nil, i)) != nil; there == failed {
				t.Errorf("change %d: made %v", i, there)
			}
			return nil
		})
	}
	if !errors.Is(errs[3], wrong) {
		t.Error(errs[3])
	}
}

func TestConcurrentUse(t *testing.T) {
	stores(t, func(t *testing.T, s *Store) {
		var wg sync.WaitGroup
		const callers, rounds = 8, 20
		for i := range callers {
			wg.Go(func() {
				for r := range rounds {
					c := Client{Owner: fmt.Appendf(nil, "%d.%d", i, r)}
					if err := s.PutClient(c); err != nil {
						t.Error(err)
					}
					if r%2 == 0 {
						if err := s.DeleteClient(c.Owner); err != nil {
							t.Error(err)
						}
					}
					if _, err := s.ExportID(fmt.Sprint(r)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if got, err := s.Clients(); err != nil || len(got) != callers*rounds/2 {
			t.Errorf("%d clients, %v", len(got), err)
		}
		if id, err := s.ExportID("one more"); err != nil || id != rounds+1 {
			t.Errorf("export %d, %v", id, err)
		}
	})
}

func BenchmarkPutClient(b *testing.B) {
	s, err := Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for b.Loop() {
		if err := s.PutClient(alice); err != nil {
			b.Fatal(err)
		}
	}
}
