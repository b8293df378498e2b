// Package objects reads the object database of a git repository (gitformat-pack(5),
// gitrepository-layout(5)): packs, loose objects and alternates.
//
// It is for servers: everything may be called from many goroutines at once,
// reads by offset and holds no more of a pack in memory than the fan-out table
// of its index, so that opening a repository takes no longer when it is large.
// The size of an object comes from its header, for one stored as a delta from
// the first bytes of the delta. Objects up to a limit are read whole ([DB.Read]);
// larger ones are inflated into a temporary file as far as somebody has read
// ([DB.Content]).
//
// The repository may be repacked meanwhile. An object that is not where it was
// is looked for again in the packs that are there now, and a pack that is being
// read stays open after git has removed it.
//
// Nothing that is read is trusted: sizes, offsets and lengths are checked before
// they are used, chains of deltas are bounded, and what comes out must have the
// name that it was asked for by. Where one copy of an object is damaged another
// one will do.
//
// go-git's own storage is not used for this: it serves one goroutine at a time,
// keeps the index of every object in memory, opens alternates anew for each
// object, and what it streams from a delta is wrong where the delta copies
// backwards.
package objects
