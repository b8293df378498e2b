package p9

import (
	"strconv"
	"strings"
	"syscall"

	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/export"
)

// version answers Tversion: msize[4] version[s]. It begins the session anew:
// what was under way is cancelled, and no fid is left (version(5)).
func (r *request) version() error {
	msize, offered := r.in.uint32(), string(r.in.bytes())
	switch {
	case r.in.bad:
		return errMalformed
	case msize < minMsize:
		return syscall.EMSGSIZE
	}
	msize = min(msize, r.s.maxMsize)
	r.abortEarlier()
	r.s.clunkAll()
	// A version may have a suffix, which who does not know it leaves out.
	if offered != dialect && !strings.HasPrefix(offered, dialect+".") {
		r.s.msize.Store(0)
		r.out.uint32(msize)
		r.out.string("unknown")
		return nil
	}
	r.s.msize.Store(msize)
	if r.loop != nil {
		r.loop.conn.greeted()
	}
	r.out.uint32(msize)
	r.out.string(dialect)
	return nil
}

// auth answers Tauth: afid[4] uname[s] aname[s] n_uname[4]. No proof of who
// somebody is can be given, nor is any asked for: as with NFS's AUTH_SYS, the
// guest's kernel is believed, within what an export allows.
func (r *request) auth() error { return vfs.EOPNOTSUPP }

// attach answers Tattach: fid[4] afid[4] uname[s] aname[s] n_uname[4].
func (r *request) attach() error {
	num, afid := r.in.uint32(), r.in.uint32()
	uname, aname, uid := string(r.in.bytes()), string(r.in.bytes()), r.in.uint32()
	switch {
	case r.in.bad:
		return errMalformed
	case afid != noFID:
		return syscall.EBADF // there are no fids of Tauth
	}
	exp := r.s.exportOf(aname)
	switch {
	case exp == nil:
		return vfs.ENOENT
	case !exp.Admits(r.s.addr):
		return vfs.EACCES
	case !r.use(exp):
		return vfs.ENOENT
	}
	r.exp = exp
	r.mayBlockOnMetadata()
	root := exp.FS.Root()
	q, err := r.qid(root)
	if err != nil {
		return err
	}
	if err := r.s.add(num, &fid{exp: exp, node: root, caller: callerOf(uid, uname)}); err != nil {
		return err
	}
	r.out.qid(q)
	return nil
}

// exportOf finds an export by NAME or /NAME. "" and "/" are the export too
// where there is only one to have.
func (s *session) exportOf(aname string) *export.Export {
	name := strings.TrimPrefix(aname, "/")
	if name == "" {
		name = s.only
	}
	if s.only != "" && name != s.only {
		return nil
	}
	table := s.srv.cfg.Exports
	if name == "" {
		if list := table.List(); len(list) == 1 {
			return list[0]
		}
		return nil
	}
	return table.ByName(name)
}

// callerOf tells who attaches. The Linux client names users by number; before
// it does so for the first user, it attaches as "nobody" without a number.
// There is no user database here: of other names only root is known, and
// numbers.
func callerOf(uid uint32, uname string) caller {
	if uid != noUID {
		return caller{uid: uid}
	}
	if uname == "root" {
		return caller{uid: 0}
	}
	if n, err := strconv.ParseUint(uname, 10, 32); err == nil {
		return caller{uid: uint32(n)}
	}
	return caller{anonymous: true}
}

// clunk answers Tclunk: fid[4]. The fid is gone also where that fails, as the
// end of an extended attribute's write can.
func (r *request) clunk() error {
	num := r.in.uint32()
	if r.in.bad {
		return errMalformed
	}
	f, err := r.s.get(num)
	if err != nil {
		return err
	}
	defer r.s.put(f)
	if !r.s.remove(num, f) {
		return syscall.EBADF
	}
	return r.commitXattr(f)
}
