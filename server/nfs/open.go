package nfs

import (
	"encoding/binary"

	"github.com/fsva/fsva/server/nfs/clients"
	"github.com/fsva/fsva/server/nfs/nfs4"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/lock"
)

// openResultMax bounds OPEN's result: stateid, change_info4, flags, attrset,
// delegation.
const openResultMax = stateIDLen + changeInfoLen + 4 + bitmapMax + 12

// openArgs is OPEN4args.
type openArgs struct {
	access, deny lock.Share
	want         uint32 // the delegation wish
	owner        string
	create       bool
	mode         uint32 // createmode4
	verifier     nfs4.Verifier
	attrs        vfs.SetAttr
	given        bitmap // attributes in attrs
	claim        uint32
	name         []byte
}

// open is OPEN (RFC 8881 §18.16).
func (c *compound) open() nfs4.Status {
	args, st := c.decodeOpen()
	if st == nfs4.OK {
		st = c.mayOpen(&args)
	}
	if st != nfs4.OK {
		return st
	}
	if args.claim == nfs4.ClaimNull {
		return c.openByName(&args)
	}
	return c.openByFH(&args)
}

func (c *compound) decodeOpen() (a openArgs, st nfs4.Status) {
	c.args.Uint32() // seqid: 4.0 only
	access, deny := c.args.Uint32(), c.args.Uint32()
	c.args.Uint64() // clientid: the session's counts (§18.16.3)
	a.owner = c.args.String(nfs4.OpaqueLimit)
	st = c.decodeOpenHow(&a)
	if st != nfs4.OK {
		return a, st
	}
	a.claim = c.args.Uint32()
	switch a.claim {
	case nfs4.ClaimNull, nfs4.ClaimDelegatePrev:
		a.name = c.args.Opaque(nfs4.OpaqueLimit)
	case nfs4.ClaimPrevious:
		c.args.Uint32() // delegation type
	case nfs4.ClaimDelegateCur:
		c.takeStateID()
		a.name = c.args.Opaque(nfs4.OpaqueLimit)
	case nfs4.ClaimDelegCurFH:
		c.takeStateID()
	case nfs4.ClaimFH, nfs4.ClaimDelegPrevFH:
	default:
		c.args.Fail()
	}
	const known = nfs4.ShareAccessBoth | nfs4.ShareWantMask | nfs4.ShareSignalDelegAvail | nfs4.SharePushDelegUncontend |
		0x300000 // RFC 9754: delegated timestamps, XOR delegation
	switch {
	case c.badXDR():
		return a, nfs4.ErrBadxdr
	case access&^known != 0 || access&nfs4.ShareAccessBoth == 0 || deny > nfs4.ShareDenyBoth:
		return a, nfs4.ErrInval
	}
	a.access, a.deny = lock.Share(access&nfs4.ShareAccessBoth), lock.Share(deny)
	a.want = access & nfs4.ShareWantMask
	return a, nfs4.OK
}

// decodeOpenHow takes openflag4.
func (c *compound) decodeOpenHow(a *openArgs) (st nfs4.Status) {
	switch c.args.Uint32() {
	case nfs4.OpenNoCreate:
		return nfs4.OK
	case nfs4.OpenCreate:
		a.create = true
	default:
		c.args.Fail()
		return nfs4.ErrBadxdr
	}
	a.mode = c.args.Uint32()
	switch a.mode {
	case nfs4.CreateExclusive, nfs4.CreateExclusive41:
		copy(a.verifier[:], c.args.Fixed(nfs4.VerifierLen))
	case nfs4.CreateUnchecked, nfs4.CreateGuarded:
	default:
		c.args.Fail()
	}
	if a.mode != nfs4.CreateExclusive && !c.badXDR() {
		a.attrs, a.given, st = c.decodeCreateAttrs(a.mode == nfs4.CreateExclusive41)
	}
	return st
}

// mayOpen checks what forbids an OPEN before the file is known.
func (c *compound) mayOpen(a *openArgs) nfs4.Status {
	if a.create && a.claim != nfs4.ClaimNull {
		return nfs4.ErrInval
	}
	switch a.claim {
	case nfs4.ClaimPrevious:
		return statusOf(c.client.CheckReclaim())
	case nfs4.ClaimDelegateCur, nfs4.ClaimDelegCurFH:
		return nfs4.ErrBadStateid // no delegation has been given
	case nfs4.ClaimDelegatePrev, nfs4.ClaimDelegPrevFH:
		return nfs4.ErrNotsupp // nor outlives its client: not worth waiting for the end of grace
	}
	if err := c.client.CheckGrant(); err != nil {
		return statusOf(err)
	}
	if c.cur.exp.ReadOnly && (a.create || a.access&lock.ShareWrite != 0) {
		if a.create && a.access&lock.ShareWrite == 0 {
			return nfs4.OK // opens what exists; creating is refused below
		}
		return nfs4.ErrRofs
	}
	return nfs4.OK
}

// openByName is OPEN with CLAIM_NULL: of a name in the current directory.
func (c *compound) openByName(a *openArgs) nfs4.Status {
	if st := checkName(a.name); st != nfs4.OK {
		return st
	}
	dir := c.cur
	cred := c.caller()
	c.mayBlockOn(&dir)
	var (
		target  object
		file    vfs.File
		change  vfs.DirChange
		attrset bitmap
		st      nfs4.Status
	)
	if a.create && !dir.exp.ReadOnly {
		target, file, change, attrset, st = c.createFile(&dir, cred, a)
	} else {
		target, st = c.lookupIn(&dir, string(a.name))
		if st == nfs4.ErrNoent && a.create {
			st = nfs4.ErrRofs
		}
	}
	if st != nfs4.OK {
		return st
	}
	if target.exp != dir.exp { // the root of an export
		return nfs4.ErrIsdir
	}
	if file == nil && change == (vfs.DirChange{}) {
		at, err := dir.node.GetAttr(c.call.Ctx, vfs.AttrChange)
		if err != nil {
			return statusOf(err)
		}
		change = vfs.DirChange{Before: at.Change, After: at.Change, Atomic: true}
	}
	truncate := file == nil && a.create && a.mode == nfs4.CreateUnchecked && a.attrs.Has(vfs.SetSize)
	return c.grantOpen(a, target, cred, file, truncate, change, attrset)
}

// openByFH is OPEN of the current filehandle: CLAIM_FH, and CLAIM_PREVIOUS
// after a restart.
func (c *compound) openByFH(a *openArgs) nfs4.Status {
	// There is no directory to report on; what is sent is ignored.
	return c.grantOpen(a, c.cur, c.caller(), nil, false, vfs.DirChange{}, bitmap{})
}

// createFile makes the file, or finds the one that the create mode accepts in
// its place: then file is nil.
func (c *compound) createFile(dir *object, cred *vfs.Cred, a *openArgs) (o object, file vfs.File, change vfs.DirChange, attrset bitmap, st nfs4.Status) {
	set := a.attrs
	exclusive := a.mode == nfs4.CreateExclusive || a.mode == nfs4.CreateExclusive41
	if exclusive {
		storeVerifier(&set, a.verifier)
	}
	for range 8 { // a name that comes and goes meanwhile is tried again
		node, f, ch, err := dir.node.Create(c.call.Ctx, cred, string(a.name), &set, openHow(a.access))
		if err == nil {
			attrset = a.given
			if exclusive {
				attrset.set(nfs4.AttrTimeAccess)
				attrset.set(nfs4.AttrTimeModify)
			}
			return object{dir.exp, node}, f, ch, attrset, nfs4.OK
		}
		if vfs.ErrnoOf(err) != vfs.EEXIST {
			return o, nil, ch, attrset, c.lookupStatus(dir, err)
		}
		if a.mode == nfs4.CreateGuarded {
			return o, nil, ch, attrset, nfs4.ErrExist
		}
		o, st = c.lookupIn(dir, string(a.name))
		switch {
		case st == nfs4.ErrNoent:
			continue
		case st != nfs4.OK:
		case exclusive:
			attrset, st = c.sameExclusive(&o, a)
		case a.attrs.Has(vfs.SetSize):
			attrset.set(nfs4.AttrSize)
		}
		return o, nil, vfs.DirChange{}, attrset, st
	}
	return o, nil, change, attrset, nfs4.ErrDelay
}

// An exclusive create must be recognised when it is sent again, also after a
// restart: its verifier is kept in the file's access and modify times, which
// the client sets to what they should be once it has the file (RFC 8881
// §18.16.3, EXCLUSIVE4_1 and suppattr_exclcreat).

func verifierTimes(v nfs4.Verifier) (atime, mtime vfs.Timespec) {
	// 31 bits each: what every file system's times can hold.
	return vfs.Timespec{Sec: int64(binary.BigEndian.Uint32(v[:4]) & 0x7fffffff)},
		vfs.Timespec{Sec: int64(binary.BigEndian.Uint32(v[4:]) & 0x7fffffff)}
}

func storeVerifier(set *vfs.SetAttr, v nfs4.Verifier) {
	set.Atime, set.Mtime = verifierTimes(v)
	set.Set |= vfs.SetAtime | vfs.SetMtime
}

// sameExclusive reports whether the file that exists is the one that this
// very OPEN made when it was sent before.
func (c *compound) sameExclusive(o *object, a *openArgs) (attrset bitmap, st nfs4.Status) {
	at, err := o.node.GetAttr(c.call.Ctx, vfs.AttrType|vfs.AttrSize|vfs.AttrTimes)
	if err != nil {
		return attrset, statusOf(err)
	}
	atime, mtime := verifierTimes(a.verifier)
	if at.Type != vfs.TypeRegular || at.Size != 0 || at.Atime.Sec != atime.Sec || at.Mtime.Sec != mtime.Sec {
		return attrset, nfs4.ErrExist
	}
	attrset = a.given
	attrset.set(nfs4.AttrTimeAccess)
	attrset.set(nfs4.AttrTimeModify)
	return attrset, nfs4.OK
}

// grantOpen adds the open to the client's state and encodes the result. file,
// if not nil, is the target opened by its creation.
func (c *compound) grantOpen(a *openArgs, target object, cred *vfs.Cred, file vfs.File, truncate bool, change vfs.DirChange, attrset bitmap) nfs4.Status {
	created := file
	opening := clients.OpenArgs{
		Owner: a.owner, Key: target.key(), Access: a.access, Deny: a.deny,
		Open: func(how vfs.OpenFlags) (vfs.File, error) {
			if f := created; f != nil && how == openHow(a.access) {
				created = nil
				return f, nil
			}
			return c.openNode(target.node, cred, how, a.claim == nfs4.ClaimPrevious)
		},
		Export: target.exp,
	}
	o, sid, err := c.client.Open(c.call.Ctx, &opening)
	if created != nil {
		created.Close() // the owner had the file open already
	}
	if err == nil && truncate {
		if err = c.truncate(o, target.node, cred); err != nil {
			c.undoOpen(o, sid)
		}
	}
	if err != nil {
		return openStatus(a, err)
	}
	c.setCur(target)
	c.curSID = currentStateID{sid, true}
	c.encodeStateID(sid)
	c.encodeChange(change)
	c.reply.Uint32(nfs4.OpenResultLockPosix | nfs4.OpenResultMayNotifyL)
	attrset.encode(&c.reply.Encoder)
	c.encodeNoDelegation(a.want)
	return nfs4.OK
}

// truncate makes a file that was opened empty. That is to write to it, which
// others may deny whatever it was opened for.
func (c *compound) truncate(o *clients.Open, n vfs.Node, cred *vfs.Cred) error {
	if err := o.CheckAccess(lock.ShareWrite); err != nil {
		return err
	}
	if err := n.SetAttr(c.call.Ctx, cred, &vfs.SetAttr{Set: vfs.SetSize}); err != nil {
		return err
	}
	f, err := o.Use()
	if err != nil {
		return err
	}
	defer f.Release()
	return c.makeDurable(f.File)
}

// undoOpen takes back an OPEN that made the state; one that only added to it
// stays, as an OPEN that failed after the fact.
func (c *compound) undoOpen(o *clients.Open, sid nfs4.StateID) {
	if sid.Seq == 1 {
		o.Close(c.call.Ctx)
	}
}

// openStatus is statusOf for what can go wrong in granting an open.
func openStatus(a *openArgs, err error) nfs4.Status {
	st := statusOf(err)
	switch {
	case a.claim == nfs4.ClaimPrevious && st == nfs4.ErrShareDenied:
		return nfs4.ErrReclaimConflict
	case vfs.ErrnoOf(err) == vfs.ENXIO: // neither file nor directory nor link
		return nfs4.ErrWrongType
	}
	return st
}

// checkRegular says why an object cannot be opened, if it cannot.
func (c *compound) checkRegular(o *object) nfs4.Status {
	at, err := o.node.GetAttr(c.call.Ctx, vfs.AttrType)
	if err != nil {
		return statusOf(err)
	}
	switch at.Type {
	case vfs.TypeRegular:
		return nfs4.OK
	case vfs.TypeDirectory:
		return nfs4.ErrIsdir
	case vfs.TypeSymlink:
		return nfs4.ErrSymlink
	}
	return nfs4.ErrWrongType
}

// openNode opens a file as the caller. Who may execute a file may read it
// over NFS: the client has to, in order to run it.
func (c *compound) openNode(n vfs.Node, cred *vfs.Cred, how vfs.OpenFlags, reclaim bool) (vfs.File, error) {
	if reclaim {
		how |= vfs.OpenReclaim
	}
	f, err := n.Open(c.call.Ctx, cred, how)
	if how == vfs.OpenRead && vfs.ErrnoOf(err) == vfs.EACCES {
		if got, aerr := n.Access(c.call.Ctx, cred, vfs.AccessExecute); aerr == nil && got != 0 {
			return n.Open(c.call.Ctx, cred, how|vfs.OpenReclaim)
		}
	}
	return f, err
}

// openHow says how a File must be opened for a share access.
func openHow(access lock.Share) (how vfs.OpenFlags) {
	if access&lock.ShareRead != 0 {
		how |= vfs.OpenRead
	}
	if access&lock.ShareWrite != 0 {
		how |= vfs.OpenWrite
	}
	return how
}

// encodeNoDelegation says that no delegation is given, and why if the client
// had a wish (RFC 8881 §18.16.3, open_none_delegation4).
func (c *compound) encodeNoDelegation(want uint32) {
	if want == 0 {
		c.reply.Uint32(nfs4.DelegateNone)
		return
	}
	c.reply.Uint32(nfs4.DelegateNoneExt)
	if want == nfs4.ShareWantNoDeleg {
		c.reply.Uint32(nfs4.WhyNotWanted)
		return
	}
	c.reply.Uint32(nfs4.WhyResource)
	c.reply.Bool(false) // the server will not signal when it has one
}
