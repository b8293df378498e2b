package host

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs"
)

func TestPermissionTakenAwayIsGoneAtOnce(t *testing.T) {
	t.Run("temporary directory", func(t *testing.T) { takeAwayPermissions(t, t.TempDir()) })
	t.Run("ext4 with times of whole seconds", func(t *testing.T) {
		takeAwayPermissions(t, mountLoop(t, "ext4", "-I", "128"))
	})
}

func takeAwayPermissions(t *testing.T, dir string) {
	fs := sharedIn(t, dir)
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "d/file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	d := must[vfs.Node](t)(fs.Root().Lookup(ctx, user, "d"))
	n := must[vfs.Node](t)(d.Lookup(ctx, user, "file"))
	for range 100 {
		for _, c := range []struct {
			mode os.FileMode
			want vfs.Errno
		}{{0o755, 0}, {0o750, vfs.EACCES}} {
			for _, name := range []string{"d/file", "d"} {
				if err := os.Chmod(filepath.Join(dir, name), c.mode); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 {
				_, err := d.Lookup(ctx, user, "file")
				wantErr(t, "lookup", err, c.want)
				f, err := n.Open(ctx, user, vfs.OpenRead)
				wantErr(t, "open", err, c.want)
				if err == nil {
					f.Close()
				}
				_, err = d.ReadDir(ctx, user, 0, 0, func(*vfs.DirEntry) bool { return true })
				wantErr(t, "readdir", err, c.want)
			}
		}
	}
}

func TestVerdictsHoldForTheSameCallerNodeAndTime(t *testing.T) {
	now := time.Unix(1000, 1)
	v := newVerdicts(fsKind{}, false)
	v.now = func() time.Time { return now }
	node, ctime := "node", uint64(now.UnixNano())
	v.grant(node, ctime, user, unix.R_OK)
	if v.allow(node, ctime, user, unix.R_OK) {
		t.Error("a ctime of the current tick was relied on")
	}
	now = now.Add(time.Second)
	v.grant(node, ctime, user, unix.R_OK)
	v.grant(node, ctime, user, unix.X_OK)
	if !v.allow(node, ctime, user, unix.R_OK|unix.X_OK) {
		t.Error("what was granted is not allowed")
	}
	for what, allowed := range map[string]bool{
		"another node":  v.allow("edon", ctime, user, unix.R_OK),
		"another ctime": v.allow(node, ctime+1, user, unix.R_OK),
		"another right": v.allow(node, ctime, user, unix.W_OK),
		"another user":  v.allow(node, ctime, &vfs.Cred{UID: 1, GID: user.GID, Groups: user.Groups}, unix.R_OK),
		"another group": v.allow(node, ctime, &vfs.Cred{UID: user.UID, GID: user.GID}, unix.R_OK),
	} {
		if allowed {
			t.Errorf("%s was allowed", what)
		}
	}
	for i := range uint32(maxVerdicts + 10) {
		v.grant(node, ctime, &vfs.Cred{UID: i}, unix.R_OK)
	}
	if len(v.granted) > maxVerdicts {
		t.Errorf("%d kept", len(v.granted))
	}
}

func TestVerdictIsKeptWhenTheTimeHasSettled(t *testing.T) {
	for _, c := range []struct {
		fine    bool
		nsec    int64
		age     time.Duration
		settled bool
	}{
		{true, 1, 0, true},
		{true, 0, 1900 * time.Millisecond, false},
		{true, 0, 2 * time.Second, true},
		{false, 1, 90 * time.Millisecond, false},
		{false, 1, 100 * time.Millisecond, true},
		{false, 0, 1900 * time.Millisecond, false},
		{false, 0, 2 * time.Second, true},
	} {
		v := newVerdicts(fsKind{}, c.fine)
		changed := time.Unix(1000, c.nsec)
		v.now = func() time.Time { return changed.Add(c.age) }
		ctime := uint64(changed.UnixNano())
		v.grant("node", ctime, user, unix.R_OK)
		if got := v.allow("node", ctime, user, unix.R_OK); got != c.settled {
			t.Errorf("%+v: kept: %v", c, got)
		}
	}
}

func TestNoVerdictIsKeptWhereTheChangeTimeDoesNotTell(t *testing.T) {
	for _, kind := range []fsKind{{remote: true}, kindOf(unix.MSDOS_SUPER_MAGIC)} {
		v := newVerdicts(kind, true)
		v.grant("node", 1, user, unix.R_OK)
		if v.allow("node", 1, user, unix.R_OK) {
			t.Errorf("%+v: it is", kind)
		}
	}
}

func TestChangesWithinASecondAreToldApart(t *testing.T) {
	fs := serve(t, mountLoop(t, "ext4", "-I", "128"), Options{})
	n, f := create(t, fs.Root(), "file")
	defer f.Close()
	seen := make(map[uint64]bool)
	for i := range 100 {
		write(t, f, "x")
		a := must[vfs.Attr](t)(n.GetAttr(ctx, vfs.AttrChange))
		if seen[a.Change] {
			t.Fatalf("write %d leaves the change attribute at %d", i, a.Change)
		}
		seen[a.Change] = true
	}
}
