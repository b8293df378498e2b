package nfs41

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
)

const (
	lastFragment = 1 << 31
	// maxRecord bounds what a server may make this client allocate.
	maxRecord = 64 << 20
)

// WriteRecord writes payload as one RPC record (RFC 5531 section 11), cut in
// fragments of at most size bytes, or in one when size is 0.
func WriteRecord(w io.Writer, payload []byte, size int) error {
	if size <= 0 {
		size = max(len(payload), 1)
	}
	for {
		n := min(size, len(payload))
		mark := uint32(n)
		if n == len(payload) {
			mark |= lastFragment
		}
		b := append(binary.BigEndian.AppendUint32(nil, mark), payload[:n]...)
		if _, err := w.Write(b); err != nil {
			return err
		}
		if payload = payload[n:]; mark&lastFragment != 0 {
			return nil
		}
	}
}

// ReadRecord reads one RPC record of any number of fragments into buf, which
// it reuses and grows, and returns it.
func ReadRecord(r io.Reader, buf []byte) ([]byte, error) {
	buf = buf[:0]
	for {
		buf = slices.Grow(buf, 4)
		mark := buf[len(buf) : len(buf)+4]
		if _, err := io.ReadFull(r, mark); err != nil {
			return buf, err
		}
		m := binary.BigEndian.Uint32(mark)
		n := int(m &^ lastFragment)
		if len(buf)+n > maxRecord {
			return buf, fmt.Errorf("nfs41: record of more than %d bytes", maxRecord)
		}
		buf = slices.Grow(buf, n)
		end := len(buf) + n
		if _, err := io.ReadFull(r, buf[len(buf):end]); err != nil {
			return buf, err
		}
		if buf = buf[:end]; m&lastFragment != 0 {
			return buf, nil
		}
	}
}
