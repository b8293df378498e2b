// Package nfs4 holds the numbers and names of NFSv4.0 to 4.2: operations,
// statuses, attributes, flags and the small fixed structures (stateids, session
// ids, verifiers), as RFC 7530, 8881, 7862 and 8276 give them. It has no
// behaviour.
package nfs4

import "encoding/hex"

// The program and its callback (RFC 8881 §2.3). The callback program number
// is the client's choice.
const (
	Program = 100003
	Version = 4

	ProcNull     = 0
	ProcCompound = 1

	CBProcNull     = 0
	CBProcCompound = 1
)

// Sizes in bytes (RFC 8881 §3.1).
const (
	MaxFH        = 128
	OpaqueLimit  = 1024
	SessionIDLen = 16
	VerifierLen  = 8
	OtherLen     = 12
)

// StateID names a piece of state: an open, a set of locks, a delegation. Seq
// counts its changes (RFC 8881 §8.2.2).
type StateID struct {
	Seq   uint32
	Other [OtherLen]byte
}

var (
	otherZero [OtherLen]byte
	otherOnes = [OtherLen]byte{255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255}

	// Anonymous is the stateid of I/O that goes by no open.
	Anonymous = StateID{}
	// ReadBypass is the anonymous stateid that also ignores locks on READ.
	ReadBypass = StateID{Seq: 0xffffffff, Other: otherOnes}
	// Current stands for the stateid of an earlier operation of the
	// COMPOUND (RFC 8881 §16.2.3.1.2).
	Current = StateID{Seq: 1}
	// Invalid is never the stateid of anything.
	Invalid = StateID{Seq: 0xffffffff}
)

// Special reports whether Other is one of the two values reserved for special
// stateids.
func (s StateID) Special() bool { return s.Other == otherZero || s.Other == otherOnes }

// SessionID names a session.
type SessionID [SessionIDLen]byte

func (s SessionID) String() string { return hex.EncodeToString(s[:]) }

// Verifier is eight bytes whose only meaning is to be equal or not.
type Verifier [VerifierLen]byte

// ClientID is the short name the server gives a client.
type ClientID uint64

// FileType is nfs_ftype4.
type FileType uint32

const (
	TypeReg FileType = iota + 1
	TypeDir
	TypeBlk
	TypeChr
	TypeLnk
	TypeSock
	TypeFifo
	TypeAttrDir
	TypeNamedAttr
)

// Flags of EXCHANGE_ID (RFC 8881 §18.35).
const (
	ExchgidSuppMovedRefer   = 0x00000001
	ExchgidSuppMovedMigr    = 0x00000002
	ExchgidBindPrincStateid = 0x00000100
	ExchgidUseNonPNFS       = 0x00010000
	ExchgidUsePNFSMDS       = 0x00020000
	ExchgidUsePNFSDS        = 0x00040000
	ExchgidUpdConfirmedRecA = 0x40000000
	ExchgidConfirmedR       = 0x80000000
	ExchgidSuppFenceOps     = 0x00000004 // 4.2: RFC 7862 §14.1

	// ExchgidFlags are those a client may set. RFC 7862 §14.1 adds fencing of
	// layouts, which a server without layouts refuses as unknown.
	ExchgidFlags = ExchgidSuppMovedRefer | ExchgidSuppMovedMigr | ExchgidBindPrincStateid |
		ExchgidUseNonPNFS | ExchgidUsePNFSMDS | ExchgidUsePNFSDS | ExchgidUpdConfirmedRecA
)

// How EXCHANGE_ID protects state.
const (
	SP4None     = 0
	SP4MachCred = 1
	SP4SSV      = 2
)

// Flags of CREATE_SESSION (RFC 8881 §18.36).
const (
	CreateSessionPersist      = 1
	CreateSessionConnBackChan = 2
	CreateSessionConnRDMA     = 4
)

// Directions of BIND_CONN_TO_SESSION (RFC 8881 §18.34).
const (
	CDFCFore       = 1
	CDFCBack       = 2
	CDFCForeOrBoth = 3
	CDFCBackOrBoth = 7

	CDFSFore = 1
	CDFSBack = 2
	CDFSBoth = 3
)

// Status flags of SEQUENCE (RFC 8881 §18.46).
const (
	SeqCBPathDown              = 0x001
	SeqExpiredAllStateRevoked  = 0x008
	SeqExpiredSomeStateRevoked = 0x010
	SeqAdminStateRevoked       = 0x020
	SeqBackchannelFault        = 0x400
)

// Share access and deny of OPEN (RFC 8881 §18.16).
const (
	ShareAccessRead  = 1
	ShareAccessWrite = 2
	ShareAccessBoth  = 3
	ShareDenyNone    = 0
	ShareDenyRead    = 1
	ShareDenyWrite   = 2
	ShareDenyBoth    = 3

	ShareWantMask           = 0xff00
	ShareWantNoDeleg        = 0x0400
	ShareSignalDelegAvail   = 0x10000
	SharePushDelegUncontend = 0x20000
)

// OPEN's choices.
const (
	OpenNoCreate = 0
	OpenCreate   = 1

	CreateUnchecked   = 0
	CreateGuarded     = 1
	CreateExclusive   = 2
	CreateExclusive41 = 3

	ClaimNull         = 0
	ClaimPrevious     = 1
	ClaimDelegateCur  = 2
	ClaimDelegatePrev = 3
	ClaimFH           = 4
	ClaimDelegCurFH   = 5
	ClaimDelegPrevFH  = 6

	DelegateNone    = 0
	DelegateRead    = 1
	DelegateWrite   = 2
	DelegateNoneExt = 3

	WhyNotWanted = 0 // why_no_delegation4
	WhyResource  = 2

	OpenResultConfirm    = 2
	OpenResultLockPosix  = 4
	OpenResultMayNotifyL = 0x20
)

// Lock types of LOCK (RFC 8881 §18.10).
const (
	LockRead   = 1
	LockWrite  = 2
	LockReadW  = 3
	LockWriteW = 4
)

// Settings of SETATTR's times (RFC 8881 §5.8.2).
const (
	SetToServerTime = 0
	SetToClientTime = 1
)

// Callback operations (RFC 8881 §20).
const (
	OpCBRecall     = 4
	OpCBRecallSlot = 8
	OpCBSequence   = 11
	OpCBNotifyLock = 13
	OpCBOffload    = 15
)

// What SECINFO_NO_NAME asks about (RFC 8881 §18.45).
const (
	SecinfoCurrent = 0
	SecinfoParent  = 1
)

// Kinds of content that SEEK and READ_PLUS tell apart (RFC 7862 §11.1).
const (
	ContentData = 0
	ContentHole = 1
)

// How SETXATTR treats an attribute that exists (RFC 8276 §8.4.2).
const (
	SetxattrEither  = 0
	SetxattrCreate  = 1
	SetxattrReplace = 2
)
