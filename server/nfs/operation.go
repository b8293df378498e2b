package nfs

import "github.com/fsva/fsva/server/nfs/nfs4"

// The minor versions served.
const (
	minMinor = 1
	maxMinor = 2
)

// Flags of an operation.
type opFlags uint8

const (
	needsFH     opFlags = 1 << iota // a current filehandle must be set
	modifies                        // refused on a read-only export
	sessionless                     // may stand first; all but SEQUENCE only alone
	tellsNone                       // a failure's result is an empty bitmap4
)

// operation is a row of the table: what the dispatcher must know of an
// operation before it runs it.
type operation struct {
	run   func(*compound) nfs4.Status
	since uint32 // the minor version that brought it
	flags opFlags
	// reply bounds the result in bytes for operations that must not run
	// when the reply has no room; 0 where running in vain harms nothing.
	reply int
}

const (
	bitmapMax     = 4 + 4*4
	statusWords   = 8
	changeInfoLen = 20
	stateIDLen    = 16
)

// operations holds every operation of NFSv4.0 to 4.2, so that a reader can
// check it against RFC 8881 §17, RFC 7862 §13 and RFC 8276 §8. What is not
// served is here with its refusal.
var operations [nfs4.NumOps]operation

func init() { // in init: the operations refer back to the table
	operations = [nfs4.NumOps]operation{
		nfs4.OpAccess:      {run: (*compound).access, flags: needsFH},
		nfs4.OpClose:       {run: (*compound).close, flags: needsFH, reply: statusWords + stateIDLen},
		nfs4.OpCommit:      {run: (*compound).commit, flags: needsFH},
		nfs4.OpCreate:      {run: (*compound).create, flags: needsFH | modifies, reply: statusWords + changeInfoLen + bitmapMax},
		nfs4.OpDelegpurge:  {run: notSupported},
		nfs4.OpDelegreturn: {run: (*compound).delegReturn, flags: needsFH},
		nfs4.OpGetattr:     {run: (*compound).getattr, flags: needsFH},
		nfs4.OpGetfh:       {run: (*compound).getfh, flags: needsFH},
		nfs4.OpLink:        {run: (*compound).link, flags: needsFH | modifies, reply: statusWords + changeInfoLen},
		nfs4.OpLock:        {run: (*compound).lock, flags: needsFH, reply: statusWords + stateIDLen},
		nfs4.OpLockt:       {run: (*compound).lockt, flags: needsFH},
		nfs4.OpLocku:       {run: (*compound).locku, flags: needsFH, reply: statusWords + stateIDLen},
		nfs4.OpLookup:      {run: (*compound).lookup, flags: needsFH},
		nfs4.OpLookupp:     {run: (*compound).lookupp, flags: needsFH},
		nfs4.OpNverify:     {run: (*compound).nverify, flags: needsFH},
		nfs4.OpOpen:        {run: (*compound).open, flags: needsFH, reply: statusWords + openResultMax},
		nfs4.OpOpenattr:    {run: notSupported, flags: needsFH},
		nfs4.OpOpenConfirm: {run: notSupported},
		nfs4.OpOpenDowngrade: {run: (*compound).openDowngrade, flags: needsFH,
			reply: statusWords + stateIDLen},
		nfs4.OpPutfh:              {run: (*compound).putfh},
		nfs4.OpPutpubfh:           {run: (*compound).putrootfh},
		nfs4.OpPutrootfh:          {run: (*compound).putrootfh},
		nfs4.OpRead:               {run: (*compound).read, flags: needsFH},
		nfs4.OpReaddir:            {run: (*compound).readdir, flags: needsFH},
		nfs4.OpReadlink:           {run: (*compound).readlink, flags: needsFH},
		nfs4.OpRemove:             {run: (*compound).remove, flags: needsFH | modifies, reply: statusWords + changeInfoLen},
		nfs4.OpRename:             {run: (*compound).rename, flags: needsFH | modifies, reply: statusWords + 2*changeInfoLen},
		nfs4.OpRenew:              {run: notSupported},
		nfs4.OpRestorefh:          {run: (*compound).restorefh},
		nfs4.OpSavefh:             {run: (*compound).savefh, flags: needsFH},
		nfs4.OpSecinfo:            {run: (*compound).secinfo, flags: needsFH},
		nfs4.OpSetattr:            {run: (*compound).setattr, flags: needsFH | modifies | tellsNone, reply: statusWords + bitmapMax},
		nfs4.OpSetclientid:        {run: notSupported},
		nfs4.OpSetclientidConfirm: {run: notSupported},
		nfs4.OpVerify:             {run: (*compound).verify, flags: needsFH},
		nfs4.OpWrite:              {run: (*compound).write, flags: needsFH | modifies, reply: statusWords + 16},
		nfs4.OpReleaseLockowner:   {run: notSupported},

		nfs4.OpBackchannelCtl:    {run: (*compound).backchannelCtl, since: 1},
		nfs4.OpBindConnToSession: {run: (*compound).bindConnToSession, since: 1, flags: sessionless},
		nfs4.OpExchangeId:        {run: (*compound).exchangeID, since: 1, flags: sessionless},
		nfs4.OpCreateSession:     {run: (*compound).createSession, since: 1, flags: sessionless},
		nfs4.OpDestroySession:    {run: (*compound).destroySession, since: 1, flags: sessionless},
		nfs4.OpFreeStateid:       {run: (*compound).freeStateID, since: 1},
		nfs4.OpGetDirDelegation:  {run: notSupported, since: 1, flags: needsFH},
		nfs4.OpGetdeviceinfo:     {run: notSupported, since: 1},
		nfs4.OpGetdevicelist:     {run: notSupported, since: 1, flags: needsFH},
		nfs4.OpLayoutcommit:      {run: notSupported, since: 1, flags: needsFH},
		nfs4.OpLayoutget:         {run: notSupported, since: 1, flags: needsFH},
		nfs4.OpLayoutreturn:      {run: notSupported, since: 1, flags: needsFH},
		nfs4.OpSecinfoNoName:     {run: (*compound).secinfoNoName, since: 1, flags: needsFH},
		nfs4.OpSequence:          {run: (*compound).sequence, since: 1, flags: sessionless},
		nfs4.OpSetSsv:            {run: notSupported, since: 1},
		nfs4.OpTestStateid:       {run: (*compound).testStateID, since: 1},
		nfs4.OpWantDelegation:    {run: notSupported, since: 1, flags: needsFH},
		nfs4.OpDestroyClientid:   {run: (*compound).destroyClientID, since: 1, flags: sessionless},
		nfs4.OpReclaimComplete:   {run: (*compound).reclaimComplete, since: 1},

		nfs4.OpAllocate:      {run: (*compound).allocate, since: 2, flags: needsFH | modifies, reply: statusWords},
		nfs4.OpCopy:          {run: (*compound).copy, since: 2, flags: needsFH | modifies, reply: statusWords + copyResultMax},
		nfs4.OpCopyNotify:    {run: notSupported, since: 2, flags: needsFH},
		nfs4.OpDeallocate:    {run: (*compound).deallocate, since: 2, flags: needsFH | modifies, reply: statusWords},
		nfs4.OpIoAdvise:      {run: (*compound).ioAdvise, since: 2, flags: needsFH},
		nfs4.OpLayouterror:   {run: notSupported, since: 2, flags: needsFH},
		nfs4.OpLayoutstats:   {run: notSupported, since: 2, flags: needsFH},
		nfs4.OpOffloadCancel: {run: (*compound).offloadCancel, since: 2, flags: needsFH},
		nfs4.OpOffloadStatus: {run: (*compound).offloadStatus, since: 2, flags: needsFH},
		nfs4.OpReadPlus:      {run: (*compound).readPlus, since: 2, flags: needsFH},
		nfs4.OpSeek:          {run: (*compound).seek, since: 2, flags: needsFH},
		nfs4.OpWriteSame:     {run: notSupported, since: 2, flags: needsFH},
		nfs4.OpClone:         {run: (*compound).clone, since: 2, flags: needsFH | modifies, reply: statusWords},
		nfs4.OpGetxattr:      {run: (*compound).getxattr, since: 2, flags: needsFH},
		nfs4.OpSetxattr:      {run: (*compound).setxattr, since: 2, flags: needsFH | modifies, reply: statusWords + changeInfoLen},
		nfs4.OpListxattrs:    {run: (*compound).listxattrs, since: 2, flags: needsFH},
		nfs4.OpRemovexattr:   {run: (*compound).removexattr, since: 2, flags: needsFH | modifies, reply: statusWords + changeInfoLen},
	}
}

// lookupOp returns the row of an operation, nil if the minor version has none.
func lookupOp(num nfs4.Op, minor uint32) *operation {
	if int(num) >= nfs4.NumOps {
		return nil
	}
	op := &operations[num]
	if op.run == nil || op.since > minor {
		return nil
	}
	return op
}

// notSupported is the answer to operations that this server does not have.
// Their arguments need no decoding: the COMPOUND ends here.
func notSupported(*compound) nfs4.Status { return nfs4.ErrNotsupp }
