package vfs

// Mode bits of Attr.Mode beyond rwxrwxrwx.
const (
	ModeSetUID = 0o4000
	ModeSetGID = 0o2000
	ModeSticky = 0o1000
)

// permission bits of one class
const (
	permExec  = 1
	permWrite = 2
	permRead  = 4
)

// Permit reports whether cred may read, write and execute (bits 4, 2, 1) a
// node with these attributes by its mode bits: path_resolution(7). Root may
// read and write anything, and execute what has any x bit or is a directory.
// attr needs AttrType, AttrMode and AttrOwner.
func Permit(cred *Cred, attr *Attr, rwx uint32) bool {
	if cred.UID == 0 {
		return rwx&permExec == 0 || attr.Type == TypeDirectory || attr.Mode&0o111 != 0
	}
	return classBits(cred, attr)&rwx == rwx
}

func classBits(cred *Cred, attr *Attr) uint32 {
	switch {
	case cred.UID == attr.UID:
		return attr.Mode >> 6 & 7
	case cred.InGroup(attr.GID):
		return attr.Mode >> 3 & 7
	}
	return attr.Mode & 7
}

// accessNeeds gives for each Access bit the mode bits it needs, by kind.
var accessNeeds = [...]struct {
	access    Access
	dir, file uint32
	applies   func(FileType) bool
}{
	{AccessRead, permRead, permRead, anyType},
	{AccessLookup, permExec, 0, isDir},
	{AccessModify, permWrite | permExec, permWrite, anyType},
	{AccessExtend, permWrite | permExec, permWrite, anyType},
	{AccessDelete, permWrite | permExec, 0, isDir},
	{AccessExecute, 0, permExec, notDir},
	{AccessXattrRead, permRead, permRead, anyType},
	{AccessXattrWrite, permWrite, permWrite, anyType},
	{AccessXattrList, permRead, permRead, anyType},
}

func anyType(FileType) bool  { return true }
func isDir(t FileType) bool  { return t == TypeDirectory }
func notDir(t FileType) bool { return t != TypeDirectory }

// PermitAccess returns the subset of want that the mode bits grant.
func PermitAccess(cred *Cred, attr *Attr, want Access) Access {
	var granted Access
	for i := range accessNeeds {
		n := &accessNeeds[i]
		if want&n.access == 0 || !n.applies(attr.Type) {
			continue
		}
		rwx := n.file
		if attr.Type == TypeDirectory {
			rwx = n.dir
		}
		if Permit(cred, attr, rwx) {
			granted |= n.access
		}
	}
	return granted
}
