package nfs4

import "strconv"

// Attr is the number of a file attribute: its bit in a bitmap4.
type Attr uint32

// The attributes of RFC 8881 §5.6 and §5.7, of RFC 7862 §12.2 and RFC 8276
// §8.2. Those that need pNFS or named attributes are here for their names.
const (
	AttrSupportedAttrs    Attr = 0
	AttrType              Attr = 1
	AttrFHExpireType      Attr = 2
	AttrChange            Attr = 3
	AttrSize              Attr = 4
	AttrLinkSupport       Attr = 5
	AttrSymlinkSupport    Attr = 6
	AttrNamedAttr         Attr = 7
	AttrFSID              Attr = 8
	AttrUniqueHandles     Attr = 9
	AttrLeaseTime         Attr = 10
	AttrRdattrError       Attr = 11
	AttrACL               Attr = 12
	AttrACLSupport        Attr = 13
	AttrArchive           Attr = 14
	AttrCanSetTime        Attr = 15
	AttrCaseInsensitive   Attr = 16
	AttrCasePreserving    Attr = 17
	AttrChownRestricted   Attr = 18
	AttrFileHandle        Attr = 19
	AttrFileID            Attr = 20
	AttrFilesAvail        Attr = 21
	AttrFilesFree         Attr = 22
	AttrFilesTotal        Attr = 23
	AttrFSLocations       Attr = 24
	AttrHidden            Attr = 25
	AttrHomogeneous       Attr = 26
	AttrMaxFileSize       Attr = 27
	AttrMaxLink           Attr = 28
	AttrMaxName           Attr = 29
	AttrMaxRead           Attr = 30
	AttrMaxWrite          Attr = 31
	AttrMimeType          Attr = 32
	AttrMode              Attr = 33
	AttrNoTrunc           Attr = 34
	AttrNumLinks          Attr = 35
	AttrOwner             Attr = 36
	AttrOwnerGroup        Attr = 37
	AttrQuotaAvailHard    Attr = 38
	AttrQuotaAvailSoft    Attr = 39
	AttrQuotaUsed         Attr = 40
	AttrRawDev            Attr = 41
	AttrSpaceAvail        Attr = 42
	AttrSpaceFree         Attr = 43
	AttrSpaceTotal        Attr = 44
	AttrSpaceUsed         Attr = 45
	AttrSystem            Attr = 46
	AttrTimeAccess        Attr = 47
	AttrTimeAccessSet     Attr = 48
	AttrTimeBackup        Attr = 49
	AttrTimeCreate        Attr = 50
	AttrTimeDelta         Attr = 51
	AttrTimeMetadata      Attr = 52
	AttrTimeModify        Attr = 53
	AttrTimeModifySet     Attr = 54
	AttrMountedOnFileID   Attr = 55
	AttrDirNotifDelay     Attr = 56
	AttrDirentNotifDelay  Attr = 57
	AttrDACL              Attr = 58
	AttrSACL              Attr = 59
	AttrChangePolicy      Attr = 60
	AttrFSStatus          Attr = 61
	AttrFSLayoutTypes     Attr = 62
	AttrLayoutHint        Attr = 63
	AttrLayoutTypes       Attr = 64
	AttrLayoutBlksize     Attr = 65
	AttrLayoutAlignment   Attr = 66
	AttrFSLocationsInfo   Attr = 67
	AttrMDSThreshold      Attr = 68
	AttrRetentionGet      Attr = 69
	AttrRetentionSet      Attr = 70
	AttrRetentEvtGet      Attr = 71
	AttrRetentEvtSet      Attr = 72
	AttrRetentionHold     Attr = 73
	AttrModeSetMasked     Attr = 74
	AttrSuppattrExclcreat Attr = 75
	AttrFSCharsetCap      Attr = 76
	AttrCloneBlksize      Attr = 77
	AttrSpaceFreed        Attr = 78
	AttrChangeAttrType    Attr = 79
	AttrSecLabel          Attr = 80
	AttrModeUmask         Attr = 81
	AttrXattrSupport      Attr = 82
)

// NumAttrs bounds tables that are indexed by Attr.
const NumAttrs = int(AttrXattrSupport) + 1

// Values of fh_expire_type (RFC 8881 §5.8.1.3).
const FHPersistent = 0

// FSCharsetNonUTF8 is the bit of fs_charset_cap by which a file system holds
// names that are not UTF-8, too (RFC 8881 §14.4).
const FSCharsetNonUTF8 = 1

// Values of change_attr_type (RFC 7862 §12.2.3).
const (
	ChangeMonotonicIncr        = 0
	ChangeVersionCounter       = 1
	ChangeVersionCounterNoPNFS = 2
	ChangeTimeMetadata         = 3
	ChangeTypeUndefined        = 4
)

// ModeBits are the bits of mode4 that are defined (RFC 8881 §6.2.4).
const ModeBits = 0o7777

var attrNames = [NumAttrs]string{
	"supported_attrs", "type", "fh_expire_type", "change", "size", "link_support", "symlink_support", "named_attr",
	"fsid", "unique_handles", "lease_time", "rdattr_error", "acl", "aclsupport", "archive", "cansettime",
	"case_insensitive", "case_preserving", "chown_restricted", "filehandle", "fileid", "files_avail", "files_free",
	"files_total", "fs_locations", "hidden", "homogeneous", "maxfilesize", "maxlink", "maxname", "maxread", "maxwrite",
	"mimetype", "mode", "no_trunc", "numlinks", "owner", "owner_group", "quota_avail_hard", "quota_avail_soft",
	"quota_used", "rawdev", "space_avail", "space_free", "space_total", "space_used", "system", "time_access",
	"time_access_set", "time_backup", "time_create", "time_delta", "time_metadata", "time_modify", "time_modify_set",
	"mounted_on_fileid", "dir_notif_delay", "dirent_notif_delay", "dacl", "sacl", "change_policy", "fs_status",
	"fs_layout_types", "layout_hint", "layout_types", "layout_blksize", "layout_alignment", "fs_locations_info",
	"mdsthreshold", "retention_get", "retention_set", "retentevt_get", "retentevt_set", "retention_hold",
	"mode_set_masked", "suppattr_exclcreat", "fs_charset_cap", "clone_blksize", "space_freed", "change_attr_type",
	"sec_label", "mode_umask", "xattr_support",
}

// String returns the name the RFCs use.
func (a Attr) String() string {
	if int(a) < NumAttrs {
		return attrNames[a]
	}
	return "attribute " + strconv.Itoa(int(a))
}
