package clients

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/fsva/fsva/server/nfs/nfs4"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/export"
	"github.com/fsva/fsva/vfs/lock"
)

type openKey struct {
	owner string // open-owner
	file  lock.Key
}

// Open is what one open-owner of a client has open of one file: all its OPENs
// of the file share it (RFC 8881 §9.1.4).
type Open struct {
	Client *Client
	Owner  string
	Key    lock.Key
	serial uint32

	seq    atomic.Uint32
	usable atomic.Uint32 // access, for reads and writes that take no lock
	file   fileSlot

	// mu serialises changes of the open; it is held over calls to package
	// lock and to the file system. It comes before Client.mu.
	mu     sync.Mutex
	closed bool
	access lock.Share
	deny   lock.Share
	modes  uint16            // combinations that were opened, a bit each: see modeBit
	locks  map[string]*Locks // by lock-owner
}

// StateID implements State.
func (o *Open) StateID() nfs4.StateID {
	return nfs4.StateID{Seq: o.seq.Load(), Other: o.Client.other(o.serial)}
}

// Of implements State.
func (o *Open) Of() *Open { return o }

// owner is how package lock knows the open.
func (o *Open) owner() lock.Owner { return lock.Owner{Client: o.Client, Name: "o" + o.Owner} }

// Access returns what the file is open for.
func (o *Open) Access() lock.Share { return lock.Share(o.usable.Load()) }

// CheckAccess fails with lock.ErrShareConflict if another open of the file denies
// the access.
func (o *Open) CheckAccess(want lock.Share) error {
	return o.Client.reg.cfg.Locks.CheckAccess(o.Key, o.owner(), want)
}

// modeBit numbers the combinations of access (1 to 3) and deny (0 to 3).
func modeBit(access, deny lock.Share) uint16 { return 1 << (uint(access)&3 | uint(deny)&3<<2) }

// OpenArgs is what an OPEN asks for once the file is known.
type OpenArgs struct {
	Owner        string
	Key          lock.Key
	Access, Deny lock.Share
	// Export is whose file it is. It is in use while the file is open.
	Export *export.Export
	// Open opens the file for how; it is called only when the open has no
	// File that can do as much. The Open owns the result.
	Open func(how vfs.OpenFlags) (vfs.File, error)
}

// openFile opens the file and notes that it is open.
func (args *OpenArgs) openFile(how vfs.OpenFlags) (vfs.File, error) {
	if !args.Export.Acquire() {
		return nil, vfs.ESTALE
	}
	opened := false
	defer func() { // also where the file system panics
		if !opened {
			args.Export.Release()
		}
	}()
	f, err := args.Open(how)
	opened = err == nil
	return f, err
}

// Open adds an OPEN to what the owner has open of the file (RFC 8881 §18.16).
func (c *Client) Open(ctx context.Context, args *OpenArgs) (*Open, nfs4.StateID, error) {
	for {
		o, err := c.openOf(openKey{args.Owner, args.Key})
		if err != nil {
			return nil, nfs4.StateID{}, err
		}
		o.mu.Lock()
		if o.closed { // closed since openOf found it
			o.mu.Unlock()
			continue
		}
		sid, err := o.addOrClose(ctx, args)
		return o, sid, err
	}
}

// addOrClose is add, and close if the owner then has nothing open, also where the
// file system panics. It unlocks o.mu.
func (o *Open) addOrClose(ctx context.Context, args *OpenArgs) (nfs4.StateID, error) {
	defer func() {
		if o.access == 0 {
			o.close(ctx)
		}
		o.mu.Unlock()
	}()
	err := o.add(ctx, args)
	return o.StateID(), err
}

// openOf returns the owner's open of the file, a new and empty one if there
// is none.
func (c *Client) openOf(key openKey) (*Open, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o := c.opens[key]; o != nil {
		return o, nil
	}
	o := &Open{Client: c, Owner: key.owner, Key: key.file}
	serial, err := c.addState(o)
	if err != nil {
		return nil, err
	}
	o.serial = serial
	c.opens[key] = o
	return o, nil
}

// add is called with o.mu held.
func (o *Open) add(ctx context.Context, args *OpenArgs) error {
	access, deny := o.access|args.Access, o.deny|args.Deny
	if err := o.setShare(ctx, access, deny); err != nil {
		return err
	}
	if how := openFlags(access); o.file.flags()&how != how {
		f, err := args.openFile(how)
		if err != nil {
			o.restoreShare(ctx)
			return err
		}
		o.file.replace(f, args.Export, how)
	}
	if o.Client.isDead() {
		o.file.close()
		o.dropShare(ctx)
		return nfs4.ErrExpired
	}
	o.access, o.deny = access, deny
	o.usable.Store(uint32(access))
	o.modes |= modeBit(args.Access, args.Deny)
	o.seq.Store(nextSeq(o.seq.Load()))
	return nil
}

// setShare sets the share reservation. If the client was released meanwhile it
// is given back: nobody would do that later. o.mu is held.
func (o *Open) setShare(ctx context.Context, access, deny lock.Share) error {
	if err := o.Client.reg.cfg.Locks.SetShare(ctx, o.Key, o.owner(), access, deny); err != nil {
		return err
	}
	if o.Client.isDead() {
		o.dropShare(ctx)
		return nfs4.ErrExpired
	}
	return nil
}

// dropShare gives the share reservation back, which cannot fail.
func (o *Open) dropShare(ctx context.Context) {
	o.Client.reg.cfg.Locks.SetShare(ctx, o.Key, o.owner(), 0, 0)
}

// restoreShare puts the share reservation back to what it was: a set of
// what the owner holds already cannot conflict.
func (o *Open) restoreShare(ctx context.Context) {
	_ = o.setShare(ctx, o.access, o.deny) // or the client is dead, and has none
}

// openFlags says how a File must be open to serve a share access.
func openFlags(access lock.Share) (how vfs.OpenFlags) {
	if access&lock.ShareRead != 0 {
		how |= vfs.OpenRead
	}
	if access&lock.ShareWrite != 0 {
		how |= vfs.OpenWrite
	}
	return how
}

// Downgrade is OPEN_DOWNGRADE (RFC 8881 §18.18): the new modes must be the
// union of some OPENs that the owner did.
func (o *Open) Downgrade(ctx context.Context, access, deny lock.Share) (nfs4.StateID, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return nfs4.StateID{}, nfs4.ErrBadStateid
	}
	if access&^o.access != 0 || deny&^o.deny != 0 || !o.wasOpened(access, deny) {
		return nfs4.StateID{}, nfs4.ErrInval
	}
	if err := o.setShare(ctx, access, deny); err != nil {
		return nfs4.StateID{}, err
	}
	o.access, o.deny = access, deny
	o.usable.Store(uint32(access))
	for bit := range 16 {
		a, d := lock.Share(bit&3), lock.Share(bit>>2)
		if a&^access != 0 || d&^deny != 0 {
			o.modes &^= 1 << bit
		}
	}
	o.seq.Store(nextSeq(o.seq.Load()))
	return o.StateID(), nil
}

// wasOpened reports whether access and deny are the union of combinations
// that were opened.
func (o *Open) wasOpened(access, deny lock.Share) bool {
	var a, d lock.Share
	for bit := range 16 {
		ba, bd := lock.Share(bit&3), lock.Share(bit>>2)
		if o.modes&(1<<bit) != 0 && ba&^access == 0 && bd&^deny == 0 {
			a, d = a|ba, d|bd
		}
	}
	return a == access && d == deny
}

// Close is CLOSE (RFC 8881 §18.2). Locks that the client left under the open
// go with it.
func (o *Open) Close(ctx context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return nfs4.ErrBadStateid
	}
	o.close(ctx)
	return nil
}

// close is called with o.mu held.
func (o *Open) close(ctx context.Context) {
	o.closed = true
	table := o.Client.reg.cfg.Locks
	c := o.Client
	c.mu.Lock()
	for _, l := range o.locks {
		delete(c.states, l.serial)
	}
	delete(c.states, o.serial)
	delete(c.opens, openKey{o.Owner, o.Key})
	c.mu.Unlock()
	for _, l := range o.locks {
		table.ReleaseOwner(o.Key, l.LockOwner())
	}
	o.locks = nil
	o.dropShare(ctx)
	o.file.close()
}

func (c *Client) isDead() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dead
}

// Use returns the File of the open for a read or write, with a function to
// give it back: it stays open until then even if CLOSE comes in between.
func (o *Open) Use() (*File, error) {
	if f := o.file.use(); f != nil {
		return f, nil
	}
	return nil, nfs4.ErrBadStateid
}
