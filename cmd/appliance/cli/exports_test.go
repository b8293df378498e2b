package cli

import (
	"testing"

	"github.com/rs/zerolog"

	"github.com/fsva/fsva/cmd/appliance/config"
	"github.com/fsva/fsva/state"
	"github.com/fsva/fsva/vfs/export"
)

// newExports opens exports in the form of the flag, served on the address nfs.
func newExports(t *testing.T, nfs string, flags ...string) (*exportSet, *config.Config) {
	t.Helper()
	store, err := state.Open("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	cfg := config.Default()
	cfg.NFS = nfs
	for _, f := range flags {
		cfg.Exports = append(cfg.Exports, config.ExportFlag(f))
	}
	x, err := newExportSet(t.Context(), cfg, store, "", zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.close(); err != nil {
			t.Error(err)
		}
	})
	return x, cfg
}

func TestRootOfGuestsIsRootOnlyInMemoryOnLoopback(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		nfs, flag string
		want      export.Squash
	}{
		{"127.0.0.1:2049", "e=mem:", export.SquashNone},
		{"[::1]:2049", "e=mem:", export.SquashNone},
		{"127.0.0.1:2049", "e=mem:,squash=root", export.SquashRoot},
		{"0.0.0.0:2049", "e=mem:", export.SquashRoot},
		{"10.77.0.1:2049", "e=mem:", export.SquashRoot},
		{"10.77.0.1:2049", "e=mem:,squash=none", export.SquashNone},
		{"127.0.0.1:2049", "e=host:" + dir, export.SquashRoot},
	} {
		x, _ := newExports(t, c.nfs, c.flag)
		if got := x.table.ByName("e").Squash; got != c.want {
			t.Errorf("%s on %s: squash=%v", c.flag, c.nfs, got)
		}
	}
}

func TestExportKeepsItsFilesWhenItsOptionsChange(t *testing.T) {
	x, cfg := newExports(t, "127.0.0.1:2049", "a=mem:", "b=mem:")
	before := x.table.ByName("a")
	cfg.Exports = []config.Export{config.ExportFlag("a=mem:,ro")}
	if err := x.apply(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	after := x.table.ByName("a")
	if after.FS != before.FS || after.ID != before.ID || !after.ReadOnly {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if x.table.ByName("b") != nil {
		t.Error("b is still served")
	}
}

// A handle into the old directory must not lead into whatever the name is
// given to.
func TestNameWithAnotherURLIsAnotherExport(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	x, cfg := newExports(t, "127.0.0.1:2049", "a=host:"+first)
	id := x.table.ByName("a").ID
	for _, c := range []struct {
		dir  string
		same bool
	}{{second, false}, {first, true}} {
		cfg.Exports = []config.Export{config.ExportFlag("a=host:" + c.dir)}
		if err := x.apply(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		if got := x.table.ByName("a").ID; (got == id) != c.same {
			t.Errorf("%s: id %d, at first %d", c.dir, got, id)
		}
	}
}
