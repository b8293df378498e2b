package p9

// msgType is the type of a message. A reply's is that of its request and one.
type msgType uint8

// The messages of 9P2000.L.
const (
	rlerror      msgType = 7
	tstatfs      msgType = 8
	tlopen       msgType = 12
	tlcreate     msgType = 14
	tsymlink     msgType = 16
	tmknod       msgType = 18
	trename      msgType = 20
	treadlink    msgType = 22
	tgetattr     msgType = 24
	tsetattr     msgType = 26
	txattrwalk   msgType = 30
	txattrcreate msgType = 32
	treaddir     msgType = 40
	tfsync       msgType = 50
	tlock        msgType = 52
	tgetlock     msgType = 54
	tlink        msgType = 70
	tmkdir       msgType = 72
	trenameat    msgType = 74
	tunlinkat    msgType = 76
	tversion     msgType = 100
	tauth        msgType = 102
	tattach      msgType = 104
	tflush       msgType = 108
	twalk        msgType = 110
	tread        msgType = 116
	twrite       msgType = 118
	tclunk       msgType = 120
	tremove      msgType = 122

	numTypes = 128
)

// Sizes in bytes.
const (
	headerSize   = 4 + 1 + 2 // size, type, tag
	rlerrorSize  = headerSize + 4
	rreadSize    = headerSize + 4      // before the data
	ioHeaderSize = 24                  // what a Tread or Twrite may have beside its data (P9_IOHDRSZ)
	qidSize      = 1 + 4 + 8           // type, version, path
	maxWalk      = 16                  // names of a Twalk
	minMsize     = 4 << 10             // what the Linux client demands
	maxMsize     = 1 << 20             // what it offers at most
	firstMsize   = 8 << 10             // until there was a Tversion
	readdirEntry = qidSize + 8 + 1 + 2 // and the name
)

const (
	dialect = "9P2000.L"
	noFID   = 1<<32 - 1 // where a fid may be left out
	noUID   = 1<<32 - 1 // n_uname of who gives a name instead
)

// qidType is the kind of file in a qid.
type qidType uint8

const (
	qidDir     qidType = 0x80
	qidSymlink qidType = 0x02
	qidFile    qidType = 0x00
)

// qid names a file: it changes neither with the name nor with the content,
// except for version, which changes with every change.
type qid struct {
	typ     qidType
	version uint32
	path    uint64
}

// Open flags of Tlopen and Tlcreate: those of x86 Linux, for all.
const (
	oAccMode   = 0o3
	oWrOnly    = 0o1
	oRdWr      = 0o2
	oExcl      = 0o200
	oTrunc     = 0o1000
	oAppend    = 0o2000
	oDsync     = 0o10000
	oDirectory = 0o200000
	oSync      = 0o4000000
)

// getattrMask are the attributes that Tgetattr asks for and Rgetattr has.
type getattrMask uint64

const (
	getattrBasic       getattrMask = 0x000007ff // what stat(2) tells
	getattrBtime       getattrMask = 0x00000800
	getattrDataVersion getattrMask = 0x00002000
)

// The attributes that Tsetattr sets.
const (
	setattrMode     = 0x001
	setattrUID      = 0x002
	setattrGID      = 0x004
	setattrSize     = 0x008
	setattrAtime    = 0x010
	setattrMtime    = 0x020
	setattrCtime    = 0x040 // to now, as any other change does
	setattrAtimeSet = 0x080
	setattrMtimeSet = 0x100
	setattrKnown    = 0x1ff
)

// Types of locks in Tlock and Tgetlock.
const (
	lockRead   = 0
	lockWrite  = 1
	lockUnlock = 2
)

// Flags of Tlock.
const (
	lockBlock   = 1
	lockReclaim = 2
)

// Statuses in Rlock.
const (
	lockSuccess = 0
	lockBlocked = 1
	lockGrace   = 3
)

// atRemoveDir is the flag of Tunlinkat for directories.
const atRemoveDir = 0x200

// v9fsMagic is what statfs(2) calls a 9P file system.
const v9fsMagic = 0x01021997
