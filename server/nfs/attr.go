package nfs

import (
	"bytes"
	"math"
	"strconv"
	"sync"

	"github.com/fsva/fsva/server/nfs/nfs4"
	"github.com/fsva/fsva/server/xdr"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/export"
)

// attribute is a row of the table: what the server must know of an attribute
// (RFC 8881 §5). A row without encode and settable is not supported.
type attribute struct {
	encode   func(*attrWriter) // nil: write-only
	node     vfs.AttrMask      // what of the node the value comes from
	statFS   bool              // the value comes from StatFS
	settable bool              // by SETATTR and on creation
	since    uint32            // the minor version that brought it
}

// attributes holds every attribute served. ACLs, quotas, file system
// locations and what belongs to pNFS are not. Owners are decimal numbers, as
// RFC 8881 §5.9 allows where both sides agree on ids, which AUTH_SYS demands
// anyway; names are not translated.
var attributes [nfs4.NumAttrs]attribute

// knownAttrs are the attributes served by each minor version, settableAttrs
// and writeOnlyAttrs parts of them. They follow from the table.
var (
	knownAttrs     [maxMinor + 1]bitmap
	settableAttrs  bitmap
	writeOnlyAttrs bitmap
)

// exclcreatAttrs can be set by an exclusive create, whose verifier takes the
// times (RFC 8881 §5.8.1.14).
var exclcreatAttrs = bitmapOf(nfs4.AttrSize, nfs4.AttrMode, nfs4.AttrOwner, nfs4.AttrOwnerGroup)

func init() { // in init: the functions refer back to the table
	attributes = [nfs4.NumAttrs]attribute{
		nfs4.AttrSupportedAttrs:  {encode: (*attrWriter).supportedAttrs, node: vfs.AttrBirth},
		nfs4.AttrType:            {encode: (*attrWriter).fileType, node: vfs.AttrType},
		nfs4.AttrFHExpireType:    {encode: func(w *attrWriter) { w.e.Uint32(nfs4.FHPersistent) }},
		nfs4.AttrChange:          {encode: func(w *attrWriter) { w.e.Uint64(w.at.Change) }, node: vfs.AttrChange},
		nfs4.AttrSize:            {encode: func(w *attrWriter) { w.e.Uint64(w.at.Size) }, node: vfs.AttrSize, settable: true},
		nfs4.AttrLinkSupport:     {encode: func(w *attrWriter) { w.e.Bool(w.exp.FS.Caps().HardLinks) }},
		nfs4.AttrSymlinkSupport:  {encode: yes},
		nfs4.AttrNamedAttr:       {encode: no},
		nfs4.AttrFSID:            {encode: (*attrWriter).fsid},
		nfs4.AttrUniqueHandles:   {encode: yes},
		nfs4.AttrLeaseTime:       {encode: func(w *attrWriter) { w.e.Uint32(uint32(w.c.srv.lease().Seconds())) }},
		nfs4.AttrRdattrError:     {encode: func(w *attrWriter) { w.e.Uint32(uint32(nfs4.OK)) }},
		nfs4.AttrACLSupport:      {encode: func(w *attrWriter) { w.e.Uint32(0) }}, // none
		nfs4.AttrCanSetTime:      {encode: yes},
		nfs4.AttrCaseInsensitive: {encode: func(w *attrWriter) { w.e.Bool(w.fs.CaseInsensitive) }, statFS: true},
		nfs4.AttrCasePreserving:  {encode: yes},
		nfs4.AttrChownRestricted: {encode: yes},
		nfs4.AttrFileHandle:      {encode: (*attrWriter).filehandle, node: vfs.AttrNode},
		nfs4.AttrFileID:          {encode: func(w *attrWriter) { w.e.Uint64(w.at.FileID) }, node: vfs.AttrFileID},
		nfs4.AttrFilesAvail:      {encode: func(w *attrWriter) { w.e.Uint64(w.fs.AvailFiles) }, statFS: true},
		nfs4.AttrFilesFree:       {encode: func(w *attrWriter) { w.e.Uint64(w.fs.FreeFiles) }, statFS: true},
		nfs4.AttrFilesTotal:      {encode: func(w *attrWriter) { w.e.Uint64(w.fs.TotalFiles) }, statFS: true},
		nfs4.AttrHomogeneous:     {encode: yes},
		nfs4.AttrMaxFileSize:     {encode: (*attrWriter).maxFileSize, statFS: true},
		nfs4.AttrMaxLink:         {encode: func(w *attrWriter) { w.e.Uint32(w.fs.MaxLink) }, statFS: true},
		nfs4.AttrMaxName:         {encode: (*attrWriter).maxName, statFS: true},
		nfs4.AttrMaxRead:         {encode: func(w *attrWriter) { w.e.Uint64(uint64(w.c.srv.maxIO)) }},
		nfs4.AttrMaxWrite:        {encode: func(w *attrWriter) { w.e.Uint64(uint64(w.c.srv.maxIO)) }},
		nfs4.AttrMode:            {encode: func(w *attrWriter) { w.e.Uint32(w.at.Mode & nfs4.ModeBits) }, node: vfs.AttrMode, settable: true},
		nfs4.AttrNoTrunc:         {encode: yes},
		nfs4.AttrNumLinks:        {encode: func(w *attrWriter) { w.e.Uint32(w.at.Nlink) }, node: vfs.AttrNlink},
		nfs4.AttrOwner:           {encode: func(w *attrWriter) { w.number(w.at.UID) }, node: vfs.AttrOwner, settable: true},
		nfs4.AttrOwnerGroup:      {encode: func(w *attrWriter) { w.number(w.at.GID) }, node: vfs.AttrOwner, settable: true},
		nfs4.AttrRawDev:          {encode: (*attrWriter).rawDev, node: vfs.AttrType | vfs.AttrRdev},
		nfs4.AttrSpaceAvail:      {encode: func(w *attrWriter) { w.e.Uint64(w.fs.AvailBytes) }, statFS: true},
		nfs4.AttrSpaceFree:       {encode: func(w *attrWriter) { w.e.Uint64(w.fs.FreeBytes) }, statFS: true},
		nfs4.AttrSpaceTotal:      {encode: func(w *attrWriter) { w.e.Uint64(w.fs.TotalBytes) }, statFS: true},
		nfs4.AttrSpaceUsed:       {encode: func(w *attrWriter) { w.e.Uint64(w.at.Used) }, node: vfs.AttrSpace},
		nfs4.AttrTimeAccess:      {encode: func(w *attrWriter) { w.time(w.at.Atime) }, node: vfs.AttrTimes},
		nfs4.AttrTimeAccessSet:   {settable: true},
		nfs4.AttrTimeCreate:      {encode: func(w *attrWriter) { w.time(w.at.Btime) }, node: vfs.AttrBirth},
		nfs4.AttrTimeDelta:       {encode: (*attrWriter).timeDelta, statFS: true},
		nfs4.AttrTimeMetadata:    {encode: func(w *attrWriter) { w.time(w.at.Ctime) }, node: vfs.AttrTimes},
		nfs4.AttrTimeModify:      {encode: func(w *attrWriter) { w.time(w.at.Mtime) }, node: vfs.AttrTimes},
		nfs4.AttrTimeModifySet:   {settable: true},
		nfs4.AttrMountedOnFileID: {encode: (*attrWriter).mountedOnFileID, node: vfs.AttrType | vfs.AttrFileID},

		nfs4.AttrModeSetMasked:     {settable: true, since: 1},
		nfs4.AttrSuppattrExclcreat: {encode: func(w *attrWriter) { exclcreatAttrs.encode(w.e) }, since: 1},
		nfs4.AttrFSCharsetCap:      {encode: func(w *attrWriter) { w.e.Uint32(nfs4.FSCharsetNonUTF8) }, since: 1},

		nfs4.AttrCloneBlksize:   {encode: func(w *attrWriter) { w.e.Uint32(w.fs.BlockSize) }, statFS: true, since: 2},
		nfs4.AttrChangeAttrType: {encode: (*attrWriter).changeAttrType, since: 2},
		nfs4.AttrXattrSupport:   {encode: func(w *attrWriter) { w.e.Bool(w.exp.FS.Caps().Xattrs) }, since: 2},
	}
	for i := range attributes {
		a, row := nfs4.Attr(i), &attributes[i]
		if row.encode == nil && !row.settable {
			continue
		}
		for minor := row.since; minor <= maxMinor; minor++ {
			knownAttrs[minor].set(a)
		}
		if row.settable {
			settableAttrs.set(a)
		}
		if row.encode == nil {
			writeOnlyAttrs.set(a)
		}
	}
}

// supported returns the attributes of an export's objects. Whether an object
// also has time_create shows only when its attributes are read.
func (c *compound) supported(exp *export.Export) bitmap {
	b := knownAttrs[c.minor]
	if b.has(nfs4.AttrCloneBlksize) && !exp.FS.Caps().Clone {
		b.clear(nfs4.AttrCloneBlksize)
	}
	return b
}

// attrWriter encodes the same attributes of one or many objects of an export.
type attrWriter struct {
	c    *compound
	e    *xdr.Encoder
	exp  *export.Export
	want bitmap       // what to encode
	need vfs.AttrMask // what that needs to know of a node, AttrNode for ReadDir
	fs   vfs.StatFS

	// The object whose turn it is. In a directory listing node is nil
	// unless need has AttrNode.
	node vfs.Node
	at   vfs.Attr
}

// attrWriters saves an allocation for each GETATTR: what is behind the table's
// functions cannot live on the stack.
var attrWriters = sync.Pool{New: func() any { return new(attrWriter) }}

// newAttrWriter prepares to append to e what of want the objects of exp have.
// The caller frees it.
func (c *compound) newAttrWriter(e *xdr.Encoder, exp *export.Export, want bitmap) (*attrWriter, error) {
	have := c.supported(exp)
	w := attrWriters.Get().(*attrWriter)
	*w = attrWriter{c: c, e: e, exp: exp, want: want.and(&have)}
	statFS := false
	for rest := w.want.without(&writeOnlyAttrs); !rest.empty(); {
		row := &attributes[rest.next()]
		w.need |= row.node
		statFS = statFS || row.statFS
	}
	if statFS {
		var err error
		if w.fs, err = exp.FS.StatFS(c.call.Ctx); err != nil {
			w.free()
			return nil, err
		}
	}
	return w, nil
}

func (w *attrWriter) free() {
	*w = attrWriter{}
	attrWriters.Put(w)
}

// load reads the attributes of a node.
func (w *attrWriter) load(node vfs.Node) (err error) {
	w.node = node
	if need := w.need &^ vfs.AttrNode; need != 0 {
		w.at, err = node.GetAttr(w.c.call.Ctx, need)
	}
	return err
}

// write appends fattr4 of the object loaded.
func (w *attrWriter) write() {
	rest := w.want
	if w.at.Valid&vfs.AttrBirth == 0 {
		rest.clear(nfs4.AttrTimeCreate)
	}
	rest.encode(w.e)
	size := w.e.Reserve()
	start := w.e.Len()
	for !rest.empty() {
		attributes[rest.next()].encode(w)
	}
	w.e.Put(size, uint32(w.e.Len()-start))
}

// encodeAttrs appends fattr4 of an object: what of want it has. want must hold
// no write-only attribute.
func (c *compound) encodeAttrs(o *object, want bitmap) error {
	w, err := c.newAttrWriter(&c.reply.Encoder, o.exp, want)
	if err != nil {
		return err
	}
	defer w.free()
	if err := w.load(o.node); err != nil {
		return err
	}
	w.write()
	return nil
}

func yes(w *attrWriter) { w.e.Bool(true) }
func no(w *attrWriter)  { w.e.Bool(false) }

func (w *attrWriter) supportedAttrs() {
	b := w.c.supported(w.exp)
	if w.at.Valid&vfs.AttrBirth == 0 {
		b.clear(nfs4.AttrTimeCreate)
	}
	b.encode(w.e)
}

var wireTypes = [...]nfs4.FileType{
	vfs.TypeRegular:   nfs4.TypeReg,
	vfs.TypeDirectory: nfs4.TypeDir,
	vfs.TypeSymlink:   nfs4.TypeLnk,
	vfs.TypeBlock:     nfs4.TypeBlk,
	vfs.TypeChar:      nfs4.TypeChr,
	vfs.TypeFIFO:      nfs4.TypeFifo,
	vfs.TypeSocket:    nfs4.TypeSock,
}

func (w *attrWriter) fileType() { w.e.Uint32(uint32(wireTypes[w.at.Type])) }

// fsid tells exports apart: each is a file system of its own to the client.
func (w *attrWriter) fsid() {
	w.e.Uint64(uint64(w.exp.ID))
	w.e.Uint64(0)
}

func (w *attrWriter) filehandle() {
	at := w.e.Reserve()
	w.e.Buf = w.c.appendFH(w.e.Buf, &object{w.exp, w.node})
	endOpaque(w.e, at)
}

// maxFileSize stays within what a signed offset can reach.
func (w *attrWriter) maxFileSize() {
	if n := w.fs.MaxFileSize; n != 0 && n < math.MaxInt64 {
		w.e.Uint64(n)
	} else {
		w.e.Uint64(math.MaxInt64)
	}
}

func (w *attrWriter) maxName() {
	if n := w.fs.MaxName; n != 0 && n < vfs.MaxName {
		w.e.Uint32(n)
	} else {
		w.e.Uint32(vfs.MaxName)
	}
}

func (w *attrWriter) rawDev() {
	dev := w.at.Rdev
	if w.at.Type != vfs.TypeBlock && w.at.Type != vfs.TypeChar {
		dev = vfs.Rdev{}
	}
	w.e.Uint32(dev.Major)
	w.e.Uint32(dev.Minor)
}

func (w *attrWriter) timeDelta() {
	const second = 1e9
	ns := max(w.fs.TimeGranularity, 1)
	w.time(vfs.Timespec{Sec: int64(ns / second), Nsec: ns % second})
}

// mountedOnFileID is, in the root of an export, the fileid of the junction in
// whose place it shows (RFC 8881 §5.8.2.19).
func (w *attrWriter) mountedOnFileID() {
	id := w.at.FileID
	if w.node != nil && w.at.Type == vfs.TypeDirectory && bytes.Equal(w.node.Handle(), w.exp.FS.Root().Handle()) {
		id = pseudoRootID + uint64(w.exp.ID)
	}
	w.e.Uint64(id)
}

// changeAttrType says what a client may conclude from two values of change
// (RFC 7862 §12.2.3).
func (w *attrWriter) changeAttrType() {
	if w.exp.FS.Caps().ChangeMonotonic {
		w.e.Uint32(nfs4.ChangeMonotonicIncr)
	} else {
		w.e.Uint32(nfs4.ChangeTypeUndefined)
	}
}

// number appends an owner or group as a string of decimal digits.
func (w *attrWriter) number(id uint32) {
	at := w.e.Reserve()
	w.e.Buf = strconv.AppendUint(w.e.Buf, uint64(id), 10)
	endOpaque(w.e, at)
}

func (w *attrWriter) time(t vfs.Timespec) {
	w.e.Int64(t.Sec)
	w.e.Uint32(t.Nsec)
}

// endOpaque ends opaque data that was appended in place: at is where its
// length was reserved.
func endOpaque(e *xdr.Encoder, at int) {
	n := e.Len() - at - 4
	e.Put(at, uint32(n))
	e.Buf = append(e.Buf, make([]byte, xdr.Pad(n))...)
}
