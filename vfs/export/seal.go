package export

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/fsva/fsva/vfs"
)

// The wire form of a filehandle, big endian:
//
//	version  1 byte, 1
//	zero     3 bytes
//	export   4 bytes, Export.ID
//	handle   1 to vfs.MaxNodeHandle bytes, the node's own
//	mac      8 bytes, SipHash-2-4 of all before
const (
	sealVersion = 1
	sealHeader  = 8
	sealMAC     = 8
	// Overhead is what a filehandle has more bytes than the node handle in it.
	Overhead = sealHeader + sealMAC
)

// minKey is the shortest key, in bytes, that a Sealer takes: what SipHash has.
const minKey = 16

// Sealer makes filehandles and tells its own from all others. The MAC keeps a
// guest from naming objects it was never shown, and spares adapters bytes that
// they did not make. It is no secret which object a filehandle names, and a
// filehandle is no permission.
type Sealer struct{ key sipKey }

// NewSealer makes a Sealer with a secret key of at least 16 bytes; it panics
// if the key is shorter. The key has to stay the same over restarts, or every
// filehandle that a guest holds becomes invalid.
func NewSealer(key []byte) *Sealer {
	if len(key) < minKey {
		panic("export: the key of a Sealer is too short")
	}
	sum := sha256.Sum256(key) // keys of any length, all of it used
	return &Sealer{sipKey{binary.LittleEndian.Uint64(sum[0:]), binary.LittleEndian.Uint64(sum[8:])}}
}

// Append appends the filehandle of a node to dst: Overhead bytes more than the
// node handle.
func (s *Sealer) Append(dst []byte, id uint32, nodeHandle []byte) []byte {
	start := len(dst)
	dst = append(dst, sealVersion, 0, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, id)
	dst = append(dst, nodeHandle...)
	return binary.BigEndian.AppendUint64(dst, s.key.sum(dst[start:]))
}

// Open takes a filehandle apart. It fails with EBADHANDLE for what this
// Sealer's key did not make. nodeHandle aliases wire.
func (s *Sealer) Open(wire []byte) (id uint32, nodeHandle []byte, err error) {
	if len(wire) <= Overhead || len(wire) > Overhead+vfs.MaxNodeHandle || wire[0] != sealVersion {
		return 0, nil, vfs.EBADHANDLE
	}
	body, mac := wire[:len(wire)-sealMAC], wire[len(wire)-sealMAC:]
	// Comparing two words takes the same time wherever they differ.
	if s.key.sum(body) != binary.BigEndian.Uint64(mac) {
		return 0, nil, vfs.EBADHANDLE
	}
	return binary.BigEndian.Uint32(body[4:]), body[sealHeader:], nil
}
