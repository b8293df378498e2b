// Package nfs41 is a small NFSv4.1 and 4.2 client for wire tests and load. It
// holds no cache and hides nothing: a test says which operations go into a
// COMPOUND, and sees the status and the result of each.
//
// Mount makes a session, Session.Do sends operations after a SEQUENCE of a
// free slot, and every operation is a Go value with its arguments and, after
// the call, its results:
//
//	s, err := nfs41.Mount("127.0.0.1:2049", nfs41.Config{})
//	if err != nil { ... }
//	defer s.Close()
//
//	var dir nfs41.GetFH
//	err = s.Do(nfs41.PutRootFH{}, nfs41.Lookup("data"), &dir)
//
//	open := nfs41.Open{
//		Access: nfs41.ShareBoth,
//		Owner:  []byte("me"),
//		Create: nfs41.Guarded,
//		Attrs:  nfs41.Attrs{Mask: nfs41.Mask(nfs41.AttrMode), Mode: 0o644},
//		Name:   "hello",
//	}
//	var file nfs41.GetFH
//	err = s.Do(nfs41.PutFH(dir.FH), &open, &file)
//	if errors.Is(err, nfs41.NFS4ERR_EXIST) { ... }
//
//	write := nfs41.Write{Stateid: open.Stateid, Stable: nfs41.FileSync, Data: []byte("hello\n")}
//	err = s.Do(nfs41.PutFH(file.FH), &write)
//	err = s.Do(nfs41.PutFH(file.FH), &nfs41.Close{Stateid: open.Stateid})
//
// Do returns nil when the whole COMPOUND succeeded, an *OpError (which wraps
// the Status, so errors.Is(err, NFS4ERR_NOENT) works) when an operation
// failed, an *RPCError when the server refused the call, and any other error
// when there was no reply. Operations before the one that failed have their
// results.
//
// # Below the session
//
// Session.Slot hands out a slot. Its Sequence field is the SEQUENCE that goes
// first in the next call; a test may change any part of it, for instance to
// send a request again:
//
//	slot := s.Slot()
//	defer slot.Release()
//	slot.Sequence.CacheThis = true
//	err := slot.Do(nfs41.PutFH(dir.FH), &nfs41.Create{...})
//	slot.Sequence.Seq-- // the same request again: the reply must come from the slot
//	err = slot.Do(nfs41.PutFH(dir.FH), &nfs41.Create{...})
//
// Dial gives a connection without a session, whose Conn.Do sends a Compound
// exactly as it is written; EXCHANGE_ID, CREATE_SESSION and the rest are plain
// operations there. RawOp carries arguments that no typed operation would
// encode. Conn.Call sends any RPC, and WriteRecord and ReadRecord on a plain
// net.Conn any bytes.
//
// # Callbacks
//
// Every connection answers calls that the server makes on it: CB_NULL, and
// CB_COMPOUND with any operations of RFC 8881 section 20 that a client without
// layouts can meet. Config.OnCallback sees each operation and chooses its
// status.
//
// The package shares only the XDR codec with the server, so that a mistake in
// the server's RPC or NFS code is not made twice.
package nfs41
