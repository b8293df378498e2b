package p9

import (
	"strconv"
	"strings"
	"syscall"

	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/lock"
)

// lockArgs is what Tlock and Tgetlock say of a lock.
type lockArgs struct {
	typ     uint8
	flags   uint32 // Tlock only
	rng     lock.Range
	rngErr  error
	process uint32
	client  string
}

// takeLock takes type[1] (flags[4]) start[8] length[8] proc_id[4] client_id[s].
// A length of 0 reaches to the end of the file.
func (r *request) takeLock(withFlags bool) (a lockArgs) {
	a.typ = r.in.uint8()
	if withFlags {
		a.flags = r.in.uint32()
	}
	start, length := r.in.uint64(), r.in.uint64()
	a.process, a.client = r.in.uint32(), string(r.in.bytes())
	if length == 0 {
		length = 1<<64 - 1
	}
	a.rng, a.rngErr = lock.NewRange(start, length)
	return a
}

// openToLock returns the open file of a fid, and what kind of lock is asked
// for. Linux does not say that in Tgetlock: there each is an unlock. That counts
// as a lock for writing, so that whatever others hold is told.
func (r *request) openToLock(num uint32, a *lockArgs) (*openFile, lock.Type, error) {
	f, err := r.fid(num)
	switch {
	case err != nil:
		return nil, 0, err
	case f.open == nil, a.typ > lockUnlock, len(a.client) > vfs.MaxName:
		return nil, 0, vfs.EINVAL
	case a.rngErr != nil:
		return nil, 0, a.rngErr
	}
	typ := lock.Write
	if a.typ == lockRead {
		typ = lock.Read
	}
	return f.open, typ, nil
}

// lockOwner is how package lock knows a process of the client.
func (s *session) lockOwner(a *lockArgs) lock.Owner {
	return lock.Owner{Client: s, Name: "p" + strconv.FormatUint(uint64(a.process), 10) + "@" + a.client}
}

// lock answers Tlock: fid[4] and what takeLock takes. The client waits for the
// reply to a lock that blocks for as long as it takes, and flushes the request
// when it does not want to any more. Where too many wait already, it is told
// that the lock is taken, and asks again after a while.
func (r *request) lock() error {
	num := r.in.uint32()
	a := r.takeLock(true)
	o, typ, err := r.openToLock(num, &a)
	if err != nil {
		return err
	}
	table, owner := r.s.srv.cfg.Locks, r.s.lockOwner(&a)
	if a.typ == lockUnlock {
		r.mayBlockOnMetadata()
		if err := table.Unlock(o.key, owner, a.rng); err != nil {
			return err
		}
		r.out.uint8(lockSuccess)
		return nil
	}
	switch {
	case typ == lock.Read && o.how&vfs.OpenRead == 0, typ == lock.Write && o.how&vfs.OpenWrite == 0:
		return syscall.EBADF // as fcntl(2)
	case r.s.srv.cfg.InGrace():
		r.out.uint8(lockGrace)
		return nil
	}
	o.addOwner(owner)
	if a.flags&lockBlock != 0 && r.s.beginLockWait() {
		defer r.s.endLockWait()
		r.waiting = true
		r.mayBlock()
		if err := table.LockWait(r.ctx, o.key, owner, a.rng, typ); err != nil {
			return err
		}
		r.out.uint8(lockSuccess)
		return nil
	}
	r.mayBlockOnMetadata()
	holder, err := table.Lock(r.ctx, o.key, owner, a.rng, typ)
	switch {
	case err != nil:
		return err
	case holder != nil:
		r.out.uint8(lockBlocked)
	default:
		r.out.uint8(lockSuccess)
	}
	return nil
}

// getlock answers Tgetlock: fid[4] and what takeLock takes, with the lock that
// would be in the way of this one, or with this one as an unlock.
func (r *request) getlock() error {
	num := r.in.uint32()
	a := r.takeLock(false)
	o, typ, err := r.openToLock(num, &a)
	if err != nil {
		return err
	}
	r.mayBlockOnMetadata()
	holder, err := r.s.srv.cfg.Locks.Test(r.ctx, o.key, r.s.lockOwner(&a), a.rng, typ)
	if err != nil {
		return err
	}
	rng, process, client := a.rng, a.process, a.client
	a.typ = lockUnlock
	if holder != nil {
		rng = holder.Range
		a.typ = lockRead
		if holder.Type == lock.Write {
			a.typ = lockWrite
		}
		process, client = holderOf(holder.Owner)
	}
	length := rng.Length()
	if length == 1<<64-1 {
		length = 0
	}
	r.out.uint8(a.typ)
	r.out.uint64(rng.Start)
	r.out.uint64(length)
	r.out.uint32(process)
	r.out.string(client)
	return nil
}

// holderOf says who holds a lock: a process of a 9P client, or a client of
// another protocol, whose processes have no numbers here.
func holderOf(o lock.Owner) (process uint32, client string) {
	if _, ok := o.Client.(*session); ok {
		if pid, client, ok := strings.Cut(strings.TrimPrefix(o.Name, "p"), "@"); ok {
			n, _ := strconv.ParseUint(pid, 10, 32)
			return uint32(n), client
		}
	}
	return 0, o.Client.String()
}
