package nfs

import (
	"math"
	"strconv"

	"github.com/fsva/fsva/server/nfs/nfs4"
	"github.com/fsva/fsva/server/xdr"
	"github.com/fsva/fsva/vfs"
)

// attrChange is what a client asks to set.
type attrChange struct {
	set   vfs.SetAttr
	given bitmap // the attributes set comes from
	// mode_set_masked: the bits of maskedMode that modeMask names replace
	// those of the mode the file has.
	maskedMode, modeMask uint32
}

// takeAttrs takes a fattr4 of attributes to set. allowed are those that may
// be: others are NFS4ERR_ATTRNOTSUPP where the export has none such and
// NFS4ERR_INVAL where it does (RFC 8881 §18.30.3).
func (c *compound) takeAttrs(allowed *bitmap) (chg attrChange, st nfs4.Status) {
	chg.given = decodeBitmap(c.args)
	values := xdr.NewDecoder(c.args.Opaque(c.args.Remaining()))
	if c.badXDR() {
		return chg, nfs4.ErrBadxdr
	}
	have := c.supported(c.cur.exp)
	if !chg.given.within(&have) {
		return chg, nfs4.ErrAttrnotsupp
	}
	if !chg.given.within(allowed) {
		return chg, nfs4.ErrInval
	}
	return chg, chg.decode(&values)
}

// decodeCreateAttrs takes the createattrs of OPEN and CREATE; exclusive says
// that a verifier takes the place of the times. The size that a new file may
// be given is 0.
func (c *compound) decodeCreateAttrs(exclusive bool) (vfs.SetAttr, bitmap, nfs4.Status) {
	allowed := &settableAttrs
	if exclusive {
		allowed = &exclcreatAttrs
	}
	chg, st := c.takeAttrs(allowed)
	if st == nfs4.OK && chg.set.Has(vfs.SetSize) && chg.set.Size != 0 {
		st = nfs4.ErrInval
	}
	chg.applyMask(0)
	return chg.set, chg.given, st
}

// applyMask makes mode_set_masked a mode, for a file whose mode is old.
func (g *attrChange) applyMask(old uint32) {
	if g.given.has(nfs4.AttrModeSetMasked) {
		g.set.Mode = old&^g.modeMask | g.maskedMode&g.modeMask
		g.set.Set |= vfs.SetMode
	}
}

// decode takes the values of the attributes given. A value that does not
// decode is NFS4ERR_BADXDR, also where another is invalid.
func (g *attrChange) decode(d *xdr.Decoder) nfs4.Status {
	st := nfs4.OK
	for rest := g.given; !rest.empty(); {
		if s := g.decodeValue(rest.next(), d); st == nfs4.OK {
			st = s
		}
	}
	if d.Err() != nil || d.Remaining() != 0 {
		return nfs4.ErrBadxdr
	}
	if g.given.has(nfs4.AttrMode) && g.given.has(nfs4.AttrModeSetMasked) { // RFC 8881 §6.2.5
		return nfs4.ErrInval
	}
	return st
}

func (g *attrChange) decodeValue(a nfs4.Attr, d *xdr.Decoder) (st nfs4.Status) {
	s := &g.set
	switch a {
	case nfs4.AttrSize:
		s.Set |= vfs.SetSize
		s.Size = d.Uint64()
		if s.Size > math.MaxInt64 {
			return nfs4.ErrFbig
		}
	case nfs4.AttrMode:
		s.Set |= vfs.SetMode
		s.Mode = d.Uint32()
		return checkMode(s.Mode)
	case nfs4.AttrModeSetMasked:
		g.maskedMode, g.modeMask = d.Uint32(), d.Uint32()
		return checkMode(g.maskedMode | g.modeMask)
	case nfs4.AttrOwner:
		s.Set |= vfs.SetUID
		s.UID, st = decodeOwner(d)
	case nfs4.AttrOwnerGroup:
		s.Set |= vfs.SetGID
		s.GID, st = decodeOwner(d)
	case nfs4.AttrTimeAccessSet:
		var now bool
		if s.Atime, now, st = decodeSetTime(d); now {
			s.Set |= vfs.SetAtimeNow
		} else {
			s.Set |= vfs.SetAtime
		}
	case nfs4.AttrTimeModifySet:
		var now bool
		if s.Mtime, now, st = decodeSetTime(d); now {
			s.Set |= vfs.SetMtimeNow
		} else {
			s.Set |= vfs.SetMtime
		}
	}
	return st
}

// checkMode refuses bits that have no meaning (RFC 8881 §6.2.4).
func checkMode(mode uint32) nfs4.Status {
	if mode&^nfs4.ModeBits != 0 {
		return nfs4.ErrInval
	}
	return nfs4.OK
}

// decodeOwner takes an owner or group: a decimal number without sign or
// leading zeroes (RFC 8881 §5.9). Names, such as root@example.org, are
// NFS4ERR_BADOWNER: no directory translates them.
func decodeOwner(d *xdr.Decoder) (uint32, nfs4.Status) {
	s := d.Opaque(nfs4.OpaqueLimit)
	if len(s) == 0 {
		return 0, nfs4.ErrInval
	}
	id, err := strconv.ParseUint(string(s), 10, 32)
	if err != nil || id == math.MaxUint32 || s[0] == '0' && len(s) > 1 { // -1 means "leave it" to chown(2)
		return 0, nfs4.ErrBadowner
	}
	return uint32(id), nfs4.OK
}

// decodeSetTime takes a settime4: the server's time or the one given.
func decodeSetTime(d *xdr.Decoder) (t vfs.Timespec, now bool, st nfs4.Status) {
	switch d.Uint32() {
	case nfs4.SetToServerTime:
		return t, true, nfs4.OK
	case nfs4.SetToClientTime:
		t = vfs.Timespec{Sec: d.Int64(), Nsec: d.Uint32()}
		if t.Nsec >= 1e9 {
			return t, false, nfs4.ErrInval
		}
		return t, false, nfs4.OK
	}
	d.Fail()
	return t, false, nfs4.OK
}
