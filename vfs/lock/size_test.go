package lock

import (
	"fmt"
	"runtime"
	"testing"
)

func handles(n int) []Key {
	keys := make([]Key, n)
	for i := range keys {
		keys[i] = key(fmt.Sprintf("handle of a file: %08d", i))
	}
	return keys
}

func heap() uint64 {
	runtime.GC()
	runtime.GC() // what the first one swept late
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// The handle's bytes are not counted: the protocol has them anyway.
func TestAShareCostsAtMost250Bytes(t *testing.T) {
	const n, limit = 100_000, 250
	keys := handles(n)
	table := NewTable()
	o := owner(table, "o")
	before := heap()
	for _, k := range keys {
		mustShare(t, table, k, o, both, 0)
	}
	after := heap()
	per := float64(after-before) / n
	t.Logf("%.0f bytes per file with one share", per)
	if per > limit {
		t.Errorf("%.0f bytes per file, want at most %d", per, limit)
	}
	table.ReleaseClient(o.Client)
	mustBeEmpty(t, table)
	runtime.KeepAlive(keys)
}

func BenchmarkSetShare(b *testing.B) {
	keys := handles(100_000)
	table := NewTable()
	o := owner(table, "o")
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		k := keys[i%len(keys)]
		table.SetShare(ctx, k, o, both, 0)
		table.SetShare(ctx, k, o, 0, 0)
	}
}

func BenchmarkSetShareOfAFileThatManyHaveOpen(b *testing.B) {
	table := NewTable()
	for i := range 10_000 {
		table.SetShare(ctx, key("f"), owner(table, fmt.Sprint(i)), ShareRead, 0)
	}
	o := owner(table, "o")
	b.ReportAllocs()
	for b.Loop() {
		table.SetShare(ctx, key("f"), o, both, 0)
		table.SetShare(ctx, key("f"), o, 0, 0)
	}
}

func BenchmarkCheckAccess(b *testing.B) {
	table := NewTable()
	table.SetShare(ctx, key("f"), owner(table, "o"), both, 0)
	for name, k := range map[string]Key{"open": key("f"), "not open": key("g")} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				table.CheckAccess(k, Owner{}, ShareRead)
			}
		})
	}
}

// Each iteration locks and unlocks a range between 10,000 others.
func BenchmarkLockAmongMany(b *testing.B) {
	const n = 10_000
	for _, bench := range []struct {
		name   string
		owners int
		held   Type
	}{{"one owner writes", 1, Write}, {"many owners write", n, Write}, {"many owners read", n, Read}} {
		b.Run(bench.name, func(b *testing.B) {
			table := NewTable()
			c := newClient(table, "c")
			for i := range uint64(n) {
				o := Owner{c, fmt.Sprint(i % uint64(bench.owners))}
				table.Lock(ctx, key("f"), o, Range{i * 4, i * 4}, bench.held)
			}
			o := owner(table, "o")
			b.ReportAllocs()
			for i := uint64(0); b.Loop(); i++ {
				r := Range{i%n*4 + 2, i%n*4 + 2}
				table.Lock(ctx, key("f"), o, r, Write)
				table.Unlock(key("f"), o, r)
			}
		})
	}
}
