package nfs41

// File types (nfs_ftype4).
const (
	TypeReg uint32 = iota + 1
	TypeDir
	TypeBlk
	TypeChr
	TypeLnk
	TypeSock
	TypeFifo
	TypeAttrDir
	TypeNamedAttr
)

type (
	// FSID is an fsid4.
	FSID struct{ Major, Minor uint64 }
	// Device is a specdata4.
	Device struct{ Major, Minor uint32 }
	// SetTime is a settime4: the server's time, or the one given.
	SetTime struct {
		Client bool
		Time   Time
	}
	// ModeUmask is the value of mode_umask (RFC 8275).
	ModeUmask struct{ Mode, Umask uint32 }
	// ACE is an nfsace4.
	ACE struct {
		Type, Flag, Mask uint32
		Who              string
	}
	// FSLocation is one server list of fs_locations.
	FSLocation struct{ Servers, Root []string }
	// FSLocations is the value of fs_locations.
	FSLocations struct {
		Root      []string
		Locations []FSLocation
	}
)

// Attrs holds attribute values. Mask says which fields mean something: those
// that a reply brought, or those to send.
type Attrs struct {
	Mask Bitmap

	SupportedAttrs, SuppattrExclcreat                                       Bitmap
	Type, FHExpireType, LeaseTime, RdattrError, ACLSupport, MaxLink         uint32
	MaxName, Mode, NumLinks, LayoutBlksize, LayoutAlignment                 uint32
	FSCharsetCap, CloneBlksize, ChangeAttrType                              uint32
	Change, Size, FileID, FilesAvail, FilesFree, FilesTotal                 uint64
	MaxFileSize, MaxRead, MaxWrite, QuotaAvailHard, QuotaAvailSoft          uint64
	QuotaUsed, SpaceAvail, SpaceFree, SpaceTotal, SpaceUsed                 uint64
	MountedOnFileID, SpaceFreed                                             uint64
	LinkSupport, SymlinkSupport, NamedAttr, UniqueHandles, Archive          bool
	CanSetTime, CaseInsensitive, CasePreserving, ChownRestricted            bool
	Hidden, Homogeneous, NoTrunc, System, XattrSupport                      bool
	MimeType, Owner, OwnerGroup                                             string
	TimeAccess, TimeBackup, TimeCreate, TimeDelta, TimeMetadata, TimeModify Time
	DirNotifDelay, DirentNotifDelay                                         Time
	TimeAccessSet, TimeModifySet                                            SetTime
	FSID                                                                    FSID
	RawDev                                                                  Device
	FileHandle                                                              FH
	ModeUmask                                                               ModeUmask
	ACL                                                                     []ACE
	FSLocations                                                             FSLocations
	FSLayoutTypes, LayoutTypes                                              []uint32
}

// Mask makes a bitmap of attributes.
func Mask(attrs ...uint32) Bitmap {
	var b Bitmap
	for _, a := range attrs {
		b.Set(a)
	}
	return b
}

// Attribute numbers (RFC 8881 section 5, RFC 7862 section 12.2, RFC 8275, RFC
// 8276).
const (
	AttrSupportedAttrs    uint32 = 0
	AttrType              uint32 = 1
	AttrFHExpireType      uint32 = 2
	AttrChange            uint32 = 3
	AttrSize              uint32 = 4
	AttrLinkSupport       uint32 = 5
	AttrSymlinkSupport    uint32 = 6
	AttrNamedAttr         uint32 = 7
	AttrFSID              uint32 = 8
	AttrUniqueHandles     uint32 = 9
	AttrLeaseTime         uint32 = 10
	AttrRdattrError       uint32 = 11
	AttrACL               uint32 = 12
	AttrACLSupport        uint32 = 13
	AttrArchive           uint32 = 14
	AttrCanSetTime        uint32 = 15
	AttrCaseInsensitive   uint32 = 16
	AttrCasePreserving    uint32 = 17
	AttrChownRestricted   uint32 = 18
	AttrFileHandle        uint32 = 19
	AttrFileID            uint32 = 20
	AttrFilesAvail        uint32 = 21
	AttrFilesFree         uint32 = 22
	AttrFilesTotal        uint32 = 23
	AttrFSLocations       uint32 = 24
	AttrHidden            uint32 = 25
	AttrHomogeneous       uint32 = 26
	AttrMaxFileSize       uint32 = 27
	AttrMaxLink           uint32 = 28
	AttrMaxName           uint32 = 29
	AttrMaxRead           uint32 = 30
	AttrMaxWrite          uint32 = 31
	AttrMimeType          uint32 = 32
	AttrMode              uint32 = 33
	AttrNoTrunc           uint32 = 34
	AttrNumLinks          uint32 = 35
	AttrOwner             uint32 = 36
	AttrOwnerGroup        uint32 = 37
	AttrQuotaAvailHard    uint32 = 38
	AttrQuotaAvailSoft    uint32 = 39
	AttrQuotaUsed         uint32 = 40
	AttrRawDev            uint32 = 41
	AttrSpaceAvail        uint32 = 42
	AttrSpaceFree         uint32 = 43
	AttrSpaceTotal        uint32 = 44
	AttrSpaceUsed         uint32 = 45
	AttrSystem            uint32 = 46
	AttrTimeAccess        uint32 = 47
	AttrTimeAccessSet     uint32 = 48
	AttrTimeBackup        uint32 = 49
	AttrTimeCreate        uint32 = 50
	AttrTimeDelta         uint32 = 51
	AttrTimeMetadata      uint32 = 52
	AttrTimeModify        uint32 = 53
	AttrTimeModifySet     uint32 = 54
	AttrMountedOnFileID   uint32 = 55
	AttrDirNotifDelay     uint32 = 56
	AttrDirentNotifDelay  uint32 = 57
	AttrFSLayoutTypes     uint32 = 62
	AttrLayoutTypes       uint32 = 64
	AttrLayoutBlksize     uint32 = 65
	AttrLayoutAlignment   uint32 = 66
	AttrSuppattrExclcreat uint32 = 75
	AttrFSCharsetCap      uint32 = 76
	AttrCloneBlksize      uint32 = 77
	AttrSpaceFreed        uint32 = 78
	AttrChangeAttrType    uint32 = 79
	AttrModeUmask         uint32 = 81
	AttrXattrSupport      uint32 = 82
)

// field returns a pointer to the value of attribute n, or nil if this client
// does not know it.
func (a *Attrs) field(n uint32) any {
	switch n {
	case AttrSupportedAttrs:
		return &a.SupportedAttrs
	case AttrType:
		return &a.Type
	case AttrFHExpireType:
		return &a.FHExpireType
	case AttrChange:
		return &a.Change
	case AttrSize:
		return &a.Size
	case AttrLinkSupport:
		return &a.LinkSupport
	case AttrSymlinkSupport:
		return &a.SymlinkSupport
	case AttrNamedAttr:
		return &a.NamedAttr
	case AttrFSID:
		return &a.FSID
	case AttrUniqueHandles:
		return &a.UniqueHandles
	case AttrLeaseTime:
		return &a.LeaseTime
	case AttrRdattrError:
		return &a.RdattrError
	case AttrACL:
		return &a.ACL
	case AttrACLSupport:
		return &a.ACLSupport
	case AttrArchive:
		return &a.Archive
	case AttrCanSetTime:
		return &a.CanSetTime
	case AttrCaseInsensitive:
		return &a.CaseInsensitive
	case AttrCasePreserving:
		return &a.CasePreserving
	case AttrChownRestricted:
		return &a.ChownRestricted
	case AttrFileHandle:
		return &a.FileHandle
	case AttrFileID:
		return &a.FileID
	case AttrFilesAvail:
		return &a.FilesAvail
	case AttrFilesFree:
		return &a.FilesFree
	case AttrFilesTotal:
		return &a.FilesTotal
	case AttrFSLocations:
		return &a.FSLocations
	case AttrHidden:
		return &a.Hidden
	case AttrHomogeneous:
		return &a.Homogeneous
	case AttrMaxFileSize:
		return &a.MaxFileSize
	case AttrMaxLink:
		return &a.MaxLink
	case AttrMaxName:
		return &a.MaxName
	case AttrMaxRead:
		return &a.MaxRead
	case AttrMaxWrite:
		return &a.MaxWrite
	case AttrMimeType:
		return &a.MimeType
	case AttrMode:
		return &a.Mode
	case AttrNoTrunc:
		return &a.NoTrunc
	case AttrNumLinks:
		return &a.NumLinks
	case AttrOwner:
		return &a.Owner
	case AttrOwnerGroup:
		return &a.OwnerGroup
	case AttrQuotaAvailHard:
		return &a.QuotaAvailHard
	case AttrQuotaAvailSoft:
		return &a.QuotaAvailSoft
	case AttrQuotaUsed:
		return &a.QuotaUsed
	case AttrRawDev:
		return &a.RawDev
	case AttrSpaceAvail:
		return &a.SpaceAvail
	case AttrSpaceFree:
		return &a.SpaceFree
	case AttrSpaceTotal:
		return &a.SpaceTotal
	case AttrSpaceUsed:
		return &a.SpaceUsed
	case AttrSystem:
		return &a.System
	case AttrTimeAccess:
		return &a.TimeAccess
	case AttrTimeAccessSet:
		return &a.TimeAccessSet
	case AttrTimeBackup:
		return &a.TimeBackup
	case AttrTimeCreate:
		return &a.TimeCreate
	case AttrTimeDelta:
		return &a.TimeDelta
	case AttrTimeMetadata:
		return &a.TimeMetadata
	case AttrTimeModify:
		return &a.TimeModify
	case AttrTimeModifySet:
		return &a.TimeModifySet
	case AttrMountedOnFileID:
		return &a.MountedOnFileID
	case AttrDirNotifDelay:
		return &a.DirNotifDelay
	case AttrDirentNotifDelay:
		return &a.DirentNotifDelay
	case AttrFSLayoutTypes:
		return &a.FSLayoutTypes
	case AttrLayoutTypes:
		return &a.LayoutTypes
	case AttrLayoutBlksize:
		return &a.LayoutBlksize
	case AttrLayoutAlignment:
		return &a.LayoutAlignment
	case AttrSuppattrExclcreat:
		return &a.SuppattrExclcreat
	case AttrFSCharsetCap:
		return &a.FSCharsetCap
	case AttrCloneBlksize:
		return &a.CloneBlksize
	case AttrSpaceFreed:
		return &a.SpaceFreed
	case AttrChangeAttrType:
		return &a.ChangeAttrType
	case AttrModeUmask:
		return &a.ModeUmask
	case AttrXattrSupport:
		return &a.XattrSupport
	}
	return nil
}
