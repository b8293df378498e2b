package host

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs"
)

// identities switches threads between the identity of the process and those of
// callers. The calls are made raw, since in Linux credentials belong to a
// thread and the wrappers of package syscall change all threads of the process
// (credentials(7), nptl(7)).
type identities struct {
	uid, gid int
	full     [2]unix.CapUserData // of the process
	acting   [2]unix.CapUserData // while acting for somebody other than root
}

// newIdentities returns nil if this process cannot act as other users. It gives
// up the supplementary groups of the whole process: root gains nothing by them,
// and callers must not.
func newIdentities() *identities {
	ids := &identities{uid: os.Geteuid(), gid: os.Getegid()}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if unix.Capget(&header, &ids.full[0]) != nil || ids.uid != 0 {
		return nil
	}
	const needed = 1<<unix.CAP_SETUID | 1<<unix.CAP_SETGID
	if ids.full[0].Effective&needed != needed {
		return nil
	}
	// Once: a second Open must not take the groups of threads that act for
	// callers of the first.
	if groups, err := syscall.Getgroups(); err != nil || len(groups) > 0 {
		if syscall.Setgroups(nil) != nil { // of all threads, unlike package unix's
			return nil
		}
	}
	// What setfsuid(2) drops by itself is not enough: CAP_SYS_RESOURCE
	// ignores quotas and reserved blocks, CAP_SYS_ADMIN opens trusted
	// attributes. Only the way back stays.
	ids.acting = ids.full
	ids.acting[0].Effective = needed
	ids.acting[1].Effective = 0
	return ids
}

// as runs fn with the permissions of cred. fn makes system calls and nothing
// that could wait for another goroutine.
func (f *FS) as(cred *vfs.Cred, fn func() error) error {
	return f.switched(cred, true, fn)
}

// asWriter is as for changes through an open file, for which the groups are of
// no account.
func (f *FS) asWriter(uid uint32, fn func() error) error {
	cred := vfs.Cred{UID: uid}
	if f.ids != nil {
		cred.GID = uint32(f.ids.gid)
	}
	return f.switched(&cred, true, fn)
}

// asking is as for calls that only ask for permission. Of the capabilities only
// those that override permissions matter to these, and setfsuid(2) drops them.
func (f *FS) asking(cred *vfs.Cred, fn func() error) error {
	return f.switched(cred, false, fn)
}

func (f *FS) switched(cred *vfs.Cred, drop bool, fn func() error) error {
	if f.actsAsProcess(cred) {
		return fn()
	}
	ids := f.ids
	drop = drop && cred.UID != 0
	runtime.LockOSThread()
	defer func() { // also of a panic, after which this goroutine may go on
		if err := ids.restore(cred, drop); err != nil {
			f.end(err)
		}
		runtime.UnlockOSThread()
	}()
	if err := ids.assume(cred, drop); err != nil {
		return err
	}
	return fn()
}

// end ends the process, as the runtime does when it cannot give all threads the
// same identity. This thread must run nothing more, not even what would recover
// from a panic and carry on with the next call; so another goroutine panics.
func (f *FS) end(err error) {
	f.log.WithLevel(zerolog.FatalLevel).Err(err).Msg("the process ends, since it could answer as the wrong user")
	go panic(err)
	select {}
}

// actsAsProcess reports that calls for cred are made as the process itself:
// since it cannot do otherwise, or because cred has the rights and makes the
// files of root. Groups add nothing to these.
func (f *FS) actsAsProcess(cred *vfs.Cred) bool {
	return f.ids == nil || int(cred.UID) == f.ids.uid && int(cred.GID) == f.ids.gid
}

func (ids *identities) assume(cred *vfs.Cred, drop bool) error {
	if hasGroups(cred) {
		if e := setgroups(cred.Groups); e != 0 {
			return vfs.Errorf(vfs.EPERM, "setgroups %v: %v", cred.Groups, e)
		}
	}
	// setfs[ug]id report no error but the previous id, so each is asked
	// again with an id that is never valid. Going on after a refusal, as
	// for an id that a user namespace does not map, would be going on as
	// root.
	setfsid(unix.SYS_SETFSGID, cred.GID)
	if got := setfsid(unix.SYS_SETFSGID, noID); got != cred.GID {
		return vfs.Errorf(vfs.EPERM, "cannot act as group %d", cred.GID)
	}
	setfsid(unix.SYS_SETFSUID, cred.UID)
	if got := setfsid(unix.SYS_SETFSUID, noID); got != cred.UID {
		return vfs.Errorf(vfs.EPERM, "cannot act as user %d", cred.UID)
	}
	if !drop {
		return nil
	}
	if e := capset(&ids.acting); e != 0 {
		return vfs.Errorf(vfs.EPERM, "capset: %v", e)
	}
	return nil
}

func (ids *identities) restore(cred *vfs.Cred, dropped bool) error {
	setfsid(unix.SYS_SETFSUID, uint32(ids.uid))
	setfsid(unix.SYS_SETFSGID, uint32(ids.gid))
	var e unix.Errno
	if hasGroups(cred) {
		e = setgroups(nil)
	}
	if e == 0 && dropped {
		e = capset(&ids.full)
	}
	uid, gid := setfsid(unix.SYS_SETFSUID, noID), setfsid(unix.SYS_SETFSGID, noID)
	if e != 0 || uid != uint32(ids.uid) || gid != uint32(ids.gid) {
		return fmt.Errorf("host: a thread cannot take its own identity back: it is user %d and group %d: %w", uid, gid, e)
	}
	return nil
}

// hasGroups reports that cred has groups beside its GID. Most have not, and the
// process has none.
func hasGroups(cred *vfs.Cred) bool {
	for _, g := range cred.Groups {
		if g != cred.GID {
			return true
		}
	}
	return false
}

const noID = ^uint32(0)

func setfsid(call uintptr, id uint32) (previous uint32) {
	r, _, _ := unix.RawSyscall(call, uintptr(id), 0, 0)
	return uint32(r)
}

func setgroups(groups []uint32) unix.Errno {
	_, _, e := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(unsafe.SliceData(groups))), 0)
	return e
}

func capset(data *[2]unix.CapUserData) unix.Errno {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	_, _, e := unix.RawSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data[0])), 0)
	return e
}
