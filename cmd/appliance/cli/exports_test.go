package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/fsva/fsva/adapters"
	"github.com/fsva/fsva/adapters/mem"
	"github.com/fsva/fsva/cmd/appliance/config"
	"github.com/fsva/fsva/state"
	"github.com/fsva/fsva/vfs"
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

// late says that the file systems of that kind answer.
var late atomic.Bool

func init() {
	adapters.Register("late", adapters.Scheme{
		Check: func(adapters.Source) error { return nil },
		Open: func(context.Context, adapters.Source, adapters.Env) (vfs.FS, error) {
			if !late.Load() {
				return nil, fmt.Errorf("%w: no route to host", adapters.ErrUnreachable)
			}
			return mem.New(mem.Options{}), nil
		},
	})
}

func TestFileSystemThatDoesNotAnswerAtTheStartIsServedWhenItDoes(t *testing.T) {
	late.Store(false)
	x, cfg := newExports(t, "127.0.0.1:2049", "a=late:", "b=mem:")
	a := x.table.ByName("a")
	if _, err := a.FS.Root().GetAttr(t.Context(), vfs.AttrType); !errors.Is(err, vfs.EAGAIN) {
		t.Errorf("its root: %v", err)
	}
	if list := x.list(t.Context()); !strings.Contains(list[0].Error, "no route to host") || list[1].Error != "" {
		t.Errorf("listed as %+v", list)
	}
	// One that is added by an operator, who reads why not, is refused.
	if err := x.add(t.Context(), "c=late:c"); !errors.Is(err, adapters.ErrUnreachable) {
		t.Errorf("added at run time: %v", err)
	}
	cfg.Exports = []config.Export{config.ExportFlag("a=late:,ro"), config.ExportFlag("b=mem:")}
	if err := x.reload(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	late.Store(true)
	for end := time.Now().Add(time.Minute); x.table.ByName("a").FS == a.FS; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it is not served in a minute")
		}
	}
	if _, err := x.table.ByName("a").FS.Root().GetAttr(t.Context(), vfs.AttrType); err != nil {
		t.Errorf("its root: %v", err)
	}
	if got := x.table.ByName("a"); got.ID != a.ID || !got.ReadOnly {
		t.Errorf("served as %d, read-only %v; want %d, read-only as a reload had it", got.ID, got.ReadOnly, a.ID)
	}
}
