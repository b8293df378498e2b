package p9fs

import (
	"golang.org/x/sys/unix"

	"github.com/hugelgupf/p9/linux"
	"github.com/hugelgupf/p9/p9"

	"github.com/fsva/fsva/vfs"
)

// GetAttr implements p9.File. It answers all there is, whatever is asked.
func (f *attached) GetAttr(p9.AttrMask) (p9.QID, p9.AttrMask, p9.Attr, error) {
	a, qid, err := f.attr()
	if err != nil {
		return p9.QID{}, p9.AttrMask{}, p9.Attr{}, err
	}
	valid := p9.AttrMaskAll
	valid.Gen = false
	valid.BTime = a.Valid&vfs.AttrBirth != 0
	valid.DataVersion = a.Valid&vfs.AttrChange != 0
	return qid, valid, p9.Attr{
		Mode:             modeBits[a.Type] | p9.FileMode(a.Mode),
		UID:              p9.UID(a.UID),
		GID:              p9.GID(a.GID),
		NLink:            p9.NLink(a.Nlink),
		RDev:             p9.Dev(unix.Mkdev(a.Rdev.Major, a.Rdev.Minor)),
		Size:             a.Size,
		BlockSize:        4096,
		Blocks:           (a.Used + 511) / 512,
		ATimeSeconds:     uint64(a.Atime.Sec),
		ATimeNanoSeconds: uint64(a.Atime.Nsec),
		MTimeSeconds:     uint64(a.Mtime.Sec),
		MTimeNanoSeconds: uint64(a.Mtime.Nsec),
		CTimeSeconds:     uint64(a.Ctime.Sec),
		CTimeNanoSeconds: uint64(a.Ctime.Nsec),
		BTimeSeconds:     uint64(a.Btime.Sec),
		BTimeNanoSeconds: uint64(a.Btime.Nsec),
		DataVersion:      a.Change,
	}, nil
}

// SetAttr implements p9.File. The change time goes with every change and needs
// no setting.
func (f *attached) SetAttr(valid p9.SetAttrMask, p p9.SetAttr) error {
	set := vfs.SetAttr{
		Mode: uint32(p.Permissions) & permBits, UID: uint32(p.UID), GID: uint32(p.GID), Size: p.Size,
		Atime: timespec(p.ATimeSeconds, p.ATimeNanoSeconds),
		Mtime: timespec(p.MTimeSeconds, p.MTimeNanoSeconds),
		Via:   f.file,
	}
	for _, m := range []struct {
		valid bool
		set   vfs.SetMask
	}{
		{valid.Permissions, vfs.SetMode},
		{valid.UID, vfs.SetUID},
		{valid.GID, vfs.SetGID},
		{valid.Size, vfs.SetSize},
		{valid.ATime && valid.ATimeNotSystemTime, vfs.SetAtime},
		{valid.ATime && !valid.ATimeNotSystemTime, vfs.SetAtimeNow},
		{valid.MTime && valid.MTimeNotSystemTime, vfs.SetMtime},
		{valid.MTime && !valid.MTimeNotSystemTime, vfs.SetMtimeNow},
	} {
		if m.valid {
			set.Set |= m.set
		}
	}
	return libraryError(f.node.SetAttr(background, f.cred, &set))
}

// xattrer returns the node if it can have extended attributes.
func (f *attached) xattrer() (vfs.Xattrer, error) {
	x, ok := f.node.(vfs.Xattrer)
	if !ok || !f.fs.Caps().Xattrs {
		return nil, linux.EOPNOTSUPP
	}
	return x, nil
}

// readableXattrs is xattrer for reading. The library's server closes a File with
// the fid through which its attributes were read, so an opened one has none to
// read: it would be closed under its user.
func (f *attached) readableXattrs() (vfs.Xattrer, error) {
	if f.file != nil {
		return nil, linux.EOPNOTSUPP
	}
	return f.xattrer()
}

// SetXattr implements p9.File.
func (f *attached) SetXattr(name string, value []byte, flags p9.XattrFlags) error {
	x, err := f.xattrer()
	if err != nil {
		return err
	}
	return libraryError(x.SetXattr(background, f.cred, name, value, vfs.XattrFlags(flags)))
}

// GetXattr implements p9.File.
func (f *attached) GetXattr(name string) ([]byte, error) {
	x, err := f.readableXattrs()
	if err != nil {
		return nil, err
	}
	value, err := x.GetXattr(background, f.cred, name)
	return value, libraryError(err)
}

// ListXattrs implements p9.File.
func (f *attached) ListXattrs() ([]string, error) {
	x, err := f.readableXattrs()
	if err != nil {
		return nil, err
	}
	names, err := x.ListXattr(background, f.cred)
	return names, libraryError(err)
}

// RemoveXattr implements p9.File.
func (f *attached) RemoveXattr(name string) error {
	x, err := f.xattrer()
	if err != nil {
		return err
	}
	return libraryError(x.RemoveXattr(background, f.cred, name))
}
