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
	dir, fs := shared(t)
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
	now := time.Unix(1000, 0)
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

func TestNoVerdictIsKeptOfARemoteFileSystem(t *testing.T) {
	v := newVerdicts(fsKind{remote: true}, true)
	v.grant("node", 1, user, unix.R_OK)
	if v.allow("node", 1, user, unix.R_OK) {
		t.Error("it is")
	}
}
