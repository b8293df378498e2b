package vfs_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fsva/fsva/vfs"
)

func TestNamesThatCanBeEntries(t *testing.T) {
	for name, want := range map[string]error{
		"a": nil, "...": nil, ".hidden": nil, "a\nb": nil, "\xff\xfe": nil, strings.Repeat("x", 255): nil,
		"": vfs.EINVAL, ".": vfs.EINVAL, "..": vfs.EINVAL, "a/b": vfs.EINVAL, "/": vfs.EINVAL, "a\x00": vfs.EINVAL,
		strings.Repeat("x", 256): vfs.ENAMETOOLONG,
	} {
		if err := vfs.CheckName(name); err != want {
			t.Errorf("%q: %v, want %v", name, err, want)
		}
	}
}

func TestErrnoIsFoundInAnyError(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want vfs.Errno
	}{
		{nil, 0},
		{vfs.ENOENT, vfs.ENOENT},
		{fmt.Errorf("while testing: %w", vfs.ENOSPC), vfs.ENOSPC},
		{vfs.Errorf(vfs.EDQUOT, "quota of %s", "nobody"), vfs.EDQUOT},
		{errors.New("something else"), vfs.EIO},
	} {
		if got := vfs.ErrnoOf(tt.err); got != tt.want {
			t.Errorf("%v: %v, want %v", tt.err, got, tt.want)
		}
	}
}

// path_resolution(7): the first class that fits decides, also when a later
// one would allow more.
func TestModeBitsOfTheFirstClassThatFitsDecide(t *testing.T) {
	file := vfs.Attr{Type: vfs.TypeRegular, Mode: 0o047, UID: 1, GID: 2}
	for _, tt := range []struct {
		who  string
		cred vfs.Cred
		rwx  uint32
		want bool
	}{
		{"owner", vfs.Cred{UID: 1, GID: 2}, 4, false},
		{"group", vfs.Cred{UID: 5, GID: 2}, 4, true},
		{"group", vfs.Cred{UID: 5, GID: 2}, 2, false},
		{"supplementary group", vfs.Cred{UID: 5, GID: 9, Groups: []uint32{7, 2}}, 4, true},
		{"supplementary group", vfs.Cred{UID: 5, GID: 9, Groups: []uint32{7, 2}}, 1, false},
		{"other", vfs.Cred{UID: 5, GID: 9}, 7, true},
		{"root", vfs.Cred{}, 7, true},
	} {
		if got := vfs.Permit(&tt.cred, &file, tt.rwx); got != tt.want {
			t.Errorf("%s, %d: %v", tt.who, tt.rwx, got)
		}
	}
	plain := vfs.Attr{Type: vfs.TypeRegular, Mode: 0o666, UID: 1}
	if vfs.Permit(vfs.Root, &plain, 1) {
		t.Error("root may execute what nobody may")
	}
	plain.Type = vfs.TypeDirectory
	if !vfs.Permit(vfs.Root, &plain, 1) {
		t.Error("root may not search a directory")
	}
}

func TestAccessIsGrantedByKind(t *testing.T) {
	all := vfs.AccessRead | vfs.AccessLookup | vfs.AccessModify | vfs.AccessExtend | vfs.AccessDelete | vfs.AccessExecute
	user := &vfs.Cred{UID: 1000, GID: 1000}
	for _, tt := range []struct {
		typ  vfs.FileType
		mode uint32
		want vfs.Access
	}{
		{vfs.TypeRegular, 0o006, vfs.AccessRead | vfs.AccessModify | vfs.AccessExtend},
		{vfs.TypeRegular, 0o001, vfs.AccessExecute},
		{vfs.TypeDirectory, 0o005, vfs.AccessRead | vfs.AccessLookup},
		{vfs.TypeDirectory, 0o002, 0}, // write without search adds nothing
		{vfs.TypeDirectory, 0o003, vfs.AccessLookup | vfs.AccessModify | vfs.AccessExtend | vfs.AccessDelete},
	} {
		attr := vfs.Attr{Type: tt.typ, Mode: tt.mode}
		if got := vfs.PermitAccess(user, &attr, all); got != tt.want {
			t.Errorf("type %d mode %o: %#x, want %#x", tt.typ, tt.mode, got, tt.want)
		}
	}
}
