package lock

import (
	"cmp"
	"slices"
)

// Kind tells what an Entry is.
type Kind uint8

const (
	KindShare  Kind = iota // Access and Deny count
	KindRange              // Range and Type count
	KindWait               // a call of LockWait for Range and Type
	KindNotice             // a call of Notify for Range and Type
	KindLease              // Type counts
)

// Entry is one thing in the table.
type Entry struct {
	Key          Key
	Owner        Owner
	Kind         Kind
	Access, Deny Share
	Range        Range
	Type         Type
}

// Snapshot lists everything in the table, for people: by file, client, owner,
// kind and range. Each shard is seen at one moment, but the whole is not.
func (t *Table) Snapshot() []Entry {
	var all []Entry
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for _, f := range s.files {
			all = f.appendEntries(all)
		}
		s.mu.Unlock()
	}
	names := make(map[Client]string)
	for _, e := range all {
		if _, ok := names[e.Owner.Client]; !ok && e.Owner.Client != nil {
			names[e.Owner.Client] = e.Owner.Client.String()
		}
	}
	slices.SortFunc(all, func(a, b Entry) int {
		return cmp.Or(
			cmp.Compare(a.Key.Export, b.Key.Export),
			cmp.Compare(a.Key.Handle, b.Key.Handle),
			cmp.Compare(names[a.Owner.Client], names[b.Owner.Client]),
			cmp.Compare(a.Owner.Name, b.Owner.Name),
			cmp.Compare(a.Kind, b.Kind),
			cmp.Compare(a.Range.Start, b.Range.Start),
			cmp.Compare(a.Range.End, b.Range.End),
		)
	})
	return all
}

func (f *file) appendEntries(to []Entry) []Entry {
	for _, s := range f.shares.list {
		to = append(to, Entry{Key: f.key, Owner: s.owner, Kind: KindShare, Access: s.access, Deny: s.deny})
	}
	if f.locks == nil {
		return to
	}
	for o, held := range f.locks.owners {
		for _, s := range held {
			to = append(to, Entry{Key: f.key, Owner: o, Kind: KindRange, Range: s.Range, Type: s.typ})
		}
	}
	for _, w := range f.locks.waiters {
		to = append(to, Entry{Key: f.key, Owner: w.owner, Kind: KindWait, Range: w.r, Type: w.typ})
	}
	for _, n := range f.locks.notices {
		to = append(to, Entry{Key: f.key, Owner: n.owner, Kind: KindNotice, Range: n.r, Type: n.typ})
	}
	for _, l := range f.locks.leases {
		to = append(to, Entry{Key: f.key, Owner: l.owner, Kind: KindLease, Type: l.typ})
	}
	return to
}
