package unpack

import (
	"container/list"
	"sync"
)

// chunkSize is how much of a stream is unpacked and kept at a time.
const chunkSize = 64 << 10

// Cache keeps what was unpacked last, of any number of streams.
type Cache struct {
	mu     sync.Mutex // below Stream.turn
	room   int        // in chunks
	recent *list.List // of *chunk, the latest used first
	chunks map[chunkKey]*list.Element
}

type chunkKey struct {
	stream *Stream
	index  int64
}

type chunk struct {
	key  chunkKey
	data []byte // never changes
}

// NewCache makes a cache of size bytes.
func NewCache(size int) *Cache {
	return &Cache{room: max(1, size/chunkSize), recent: list.New(), chunks: make(map[chunkKey]*list.Element)}
}

func (c *Cache) get(key chunkKey) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.chunks[key]
	if e == nil {
		return nil
	}
	c.recent.MoveToFront(e)
	return e.Value.(*chunk).data
}

func (c *Cache) put(key chunkKey, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.chunks[key]; e != nil {
		c.recent.MoveToFront(e)
		return
	}
	c.chunks[key] = c.recent.PushFront(&chunk{key, data})
	for c.recent.Len() > c.room {
		last := c.recent.Back()
		delete(c.chunks, last.Value.(*chunk).key)
		c.recent.Remove(last)
	}
}
