package host

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs"
)

// identities switches threads between the identity of the process and those of
// callers. The calls are made raw, since in Linux credentials belong to a
// thread and the wrappers of package syscall change all threads of the process
// (credentials(7), nptl(7)).
type identities struct {
	uid, gid int
	groups   []uint32
	full     [2]unix.CapUserData // of the process
	acting   [2]unix.CapUserData // while acting for somebody other than root
}

// newIdentities returns nil if this process cannot act as other users.
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
	groups, err := os.Getgroups()
	if err != nil {
		return nil
	}
	for _, g := range groups {
		ids.groups = append(ids.groups, uint32(g))
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
	ids := f.ids
	if ids == nil || ids.isProcess(cred) {
		return fn()
	}
	runtime.LockOSThread()
	err := ids.assume(cred)
	if err == nil {
		err = fn()
	}
	// A thread that cannot be given its own identity back must not run
	// anything else: the panic ends the goroutine, which is still locked to
	// the thread, and the runtime ends the thread with it.
	ids.restore()
	runtime.UnlockOSThread()
	return err
}

// isProcess reports that cred has the rights and makes the files of the
// process itself. Groups add nothing to root.
func (ids *identities) isProcess(cred *vfs.Cred) bool {
	return int(cred.UID) == ids.uid && int(cred.GID) == ids.gid
}

func (ids *identities) assume(cred *vfs.Cred) error {
	if e := setgroups(cred.Groups); e != 0 {
		return vfs.Errorf(vfs.EPERM, "setgroups %v: %v", cred.Groups, e)
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
	if cred.UID == 0 {
		return nil
	}
	if e := capset(&ids.acting); e != 0 {
		return vfs.Errorf(vfs.EPERM, "capset: %v", e)
	}
	return nil
}

func (ids *identities) restore() {
	setfsid(unix.SYS_SETFSUID, uint32(ids.uid))
	setfsid(unix.SYS_SETFSGID, uint32(ids.gid))
	e := setgroups(ids.groups)
	if e == 0 {
		e = capset(&ids.full)
	}
	if e != 0 || setfsid(unix.SYS_SETFSUID, noID) != uint32(ids.uid) {
		panic(fmt.Sprintf("host: a thread cannot take its own identity back: %v", e))
	}
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
