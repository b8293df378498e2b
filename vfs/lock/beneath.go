package lock

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/fsva/fsva/vfs"
)

// Beneath finds the locks that lie beneath those of a table: files on which
// others than the appliance lock ranges. It returns nil for all other files.
type Beneath func(context.Context, Key) (vfs.SharedLocks, error)

// WithBeneath has a table take the locks that its owners hold on a file from
// those beneath, too: one more or one less only where no other owner has the
// bytes anyway. Such files are slower to lock, and an owner that waits for a
// lock looks again and again, in no order, and is not told of a deadlock:
// nobody tells us what others wait for. Share reservations and leases are the
// table's own.
func WithBeneath(b Beneath) func(*Table) {
	return func(t *Table) { t.beneath.find = b }
}

// beneath is what a table has of locks beneath it.
type beneath struct {
	find Beneath // may be nil

	mu    sync.Mutex // guards files
	files map[Key]*sharedFile
}

// sharedFile is a file that has locks beneath.
type sharedFile struct {
	refs int // of calls under way; guarded by beneath.mu

	// mu makes changes of the file's locks one at a time, here and beneath. It
	// is held over calls to the file system and comes before Table.waiting.
	mu    sync.Mutex
	under vfs.SharedLocks
}

// Outside holds the locks of programs that are no clients of the appliance.
var Outside = Owner{Client: outside{}, Name: "outside the appliance"}

type outside struct{}

func (outside) String() string               { return Outside.Name }
func (outside) Courtesy() bool               { return false }
func (outside) Expire(context.Context) error { return nil }

// enterShared returns the file's locks beneath, locked, or nil if it has none. With
// create, what is not yet known is asked for.
func (t *Table) enterShared(ctx context.Context, k Key, create bool) (*sharedFile, error) {
	b := &t.beneath
	if b.find == nil {
		return nil, nil
	}
	b.mu.Lock()
	f := b.files[k]
	if f == nil && create {
		b.mu.Unlock()
		under, err := b.find(ctx, k)
		if under == nil || err != nil {
			return nil, err
		}
		b.mu.Lock()
		if f = b.files[k]; f == nil {
			f = &sharedFile{under: under}
			b.files[k] = f
		} else { // another was faster
			defer under.Close()
		}
	}
	if f == nil {
		b.mu.Unlock()
		return nil, nil
	}
	f.refs++
	b.mu.Unlock()
	f.mu.Lock()
	return f, nil
}

// leaveShared ends what enterShared began. The last one closes the locks beneath, unless
// there are any.
func (t *Table) leaveShared(k Key, f *sharedFile) {
	f.mu.Unlock()
	if t.forgetShared(k, f) {
		f.under.Close() // nothing is held by it any more
	}
}

// forgetShared ends a call, and says if it was the last one and nothing is held
// of the file. Only while no call is under way does the answer stay true.
func (t *Table) forgetShared(k Key, f *sharedFile) bool {
	b := &t.beneath
	b.mu.Lock()
	defer b.mu.Unlock()
	if f.refs--; f.refs > 0 {
		return false
	}
	held := false
	t.peek(k, func(own *file) { held = own.locks != nil && len(own.locks.owners) > 0 })
	if !held {
		delete(b.files, k)
	}
	return !held
}

// lockShared is Lock on a file with locks beneath. Nothing changes meanwhile in
// the table, so that what was checked first is still so in the end.
func (t *Table) lockShared(ctx context.Context, f *sharedFile, k Key, owner Owner, r Range, typ Type) (*Holder, error) {
	if by := t.testOwn(k, owner, r, typ); by != nil {
		return by, nil
	}
	err := f.set(ctx, r, kindOf(typ))
	if errors.Is(err, vfs.EAGAIN) {
		by, err := f.test(ctx, r, typ)
		if by == nil && err == nil { // gone meanwhile
			by = &Holder{Outside, r, Write}
		}
		return by, err
	}
	if err != nil {
		return nil, err
	}
	t.on(k, func(own *file) { err = own.lock(owner, r, typ) })
	if err != nil {
		t.restore(k, f, r)
	}
	return nil, err
}

// restore makes what is held beneath of r what the table's owners hold.
func (t *Table) restore(k Key, f *sharedFile, r Range) {
	var held []stretch
	t.peek(k, func(own *file) { held = own.stretches(r) })
	if held == nil {
		held = []stretch{{r, vfs.Unlocked}}
	}
	for _, s := range held {
		// To hold less cannot conflict. If the file system does not answer, it
		// is not asked again: others wait in vain until the file is unlocked.
		_ = f.set(context.Background(), s.Range, s.kind)
	}
}

// A stretch is bytes that are locked in the same way.
type stretch struct {
	Range
	kind vfs.LockKind
}

// stretches tells how the bytes of r are locked, by whomever, in order and
// without a gap.
func (f *file) stretches(r Range) (all []stretch) {
	at := r.Start
	add := func(end uint64, kind vfs.LockKind) {
		if last := len(all) - 1; last >= 0 && all[last].kind == kind {
			all[last].End = end
		} else {
			all = append(all, stretch{Range{at, end}, kind})
		}
		at = end + 1
	}
	for at <= r.End {
		s := f.nextSpan(Range{at, r.End})
		if s == nil {
			add(r.End, vfs.Unlocked)
		} else {
			if s.Start > at {
				add(s.Start-1, vfs.Unlocked)
			}
			add(min(s.End, r.End), kindOf(s.typ))
		}
		if at == 0 { // behind the last byte there can be
			break
		}
	}
	return all
}

// nextSpan returns the first lock that overlaps r, nil if there is none. Where
// some bytes are locked for writing, nobody else has them.
func (f *file) nextSpan(r Range) (first *span) {
	if f.locks == nil {
		return nil
	}
	for _, typ := range []Type{Read, Write} {
		f.locks.of(typ).visit(r, func(s *span) bool {
			if first == nil || max(s.Start, r.Start) < max(first.Start, r.Start) {
				first = s
			}
			return false
		})
	}
	return first
}

func kindOf(typ Type) vfs.LockKind {
	if typ == Write {
		return vfs.LockedWrite
	}
	return vfs.LockedRead
}

// set is Set of the part of r that a file can have.
func (f *sharedFile) set(ctx context.Context, r Range, kind vfs.LockKind) error {
	if r.Start > math.MaxInt64 {
		return nil
	}
	off, length := r.offsets()
	return f.under.Set(ctx, off, length, kind)
}

// test returns a lock of others that is in the way, nil if there is none.
func (f *sharedFile) test(ctx context.Context, r Range, typ Type) (*Holder, error) {
	if r.Start > math.MaxInt64 {
		return nil, nil
	}
	off, length := r.offsets()
	l, err := f.under.Test(ctx, off, length, kindOf(typ))
	if err != nil || l.Kind == vfs.Unlocked {
		return nil, err
	}
	by := &Holder{Owner: Outside, Range: Range{uint64(l.Off), math.MaxUint64}, Type: Read}
	if l.Length > 0 {
		by.Range.End = uint64(l.Off) + uint64(l.Length) - 1
	}
	if l.Kind == vfs.LockedWrite {
		by.Type = Write
	}
	return by, nil
}

// offsets is r as fcntl(2) has it. r begins where a file can have bytes.
func (r Range) offsets() (off, length int64) {
	if r.End >= math.MaxInt64 {
		return int64(r.Start), 0
	}
	return int64(r.Start), int64(r.End - r.Start + 1)
}

// How long a wait for a lock that lies beneath sleeps before it looks again.
const (
	firstLook = 10 * time.Millisecond
	lastLook  = time.Second
)

// waitShared is LockWait on a file with locks beneath.
func (t *Table) waitShared(ctx context.Context, k Key, owner Owner, r Range, typ Type) error {
	for pause := firstLook; ; pause = min(2*pause, lastLook) {
		by, err := t.Lock(ctx, k, owner, r, typ)
		if by == nil || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}
