package rpc

import "sync"

// Buffer is memory for the data of a request or a reply, from a pool. B has
// the length that was asked for.
type Buffer struct {
	B     []byte
	class int // of bufferPools, -1 if it is of none
}

// bufferClasses are the capacities that are pooled, in bytes: for small calls,
// for data of the sizes clients use, and for the largest record.
var bufferClasses = [...]int{4 << 10, 16 << 10, 64 << 10, 256 << 10, 1<<20 + 64<<10}

var bufferPools [len(bufferClasses)]sync.Pool

// GetBuffer returns a Buffer of n bytes, whose contents are anything. It is
// the caller's until Release, or until it is given to Reply.OpaqueBuffer.
func GetBuffer(n int) *Buffer {
	for class, size := range bufferClasses {
		if n > size {
			continue
		}
		b, _ := bufferPools[class].Get().(*Buffer)
		if b == nil {
			b = &Buffer{B: make([]byte, size), class: class}
		}
		b.B = b.B[:n]
		return b
	}
	return &Buffer{B: make([]byte, n), class: -1}
}

// Release gives the Buffer back. Nothing may use it afterwards.
func (b *Buffer) Release() {
	if b.class >= 0 {
		b.B = b.B[:cap(b.B)]
		bufferPools[b.class].Put(b)
	}
}
