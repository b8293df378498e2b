// Package lru keeps what was used last, within a bound.
package lru

import (
	"container/list"
	"sync"
)

// Cache holds values by key up to a total weight, and at least the last one
// whatever it weighs. It may be used from many goroutines at once.
type Cache[K comparable, V any] struct {
	room  int64
	weigh func(V) int64

	mu    sync.Mutex
	used  int64
	items map[K]*list.Element
	order list.List // of item[K, V], the one used last in front
}

type item[K comparable, V any] struct {
	key    K
	value  V
	weight int64
}

// New returns a cache for values of room in total, as weigh weighs them.
func New[K comparable, V any](room int64, weigh func(V) int64) *Cache[K, V] {
	return &Cache[K, V]{room: room, weigh: weigh, items: map[K]*list.Element{}}
}

// Get returns the value of a key, if it is there.
func (c *Cache[K, V]) Get(key K) (v V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.items[key]
	if e == nil {
		return v, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*item[K, V]).value, true
}

// Add puts a value in, unless the key has one, and makes room for it.
func (c *Cache[K, V]) Add(key K, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.items[key] != nil {
		return
	}
	i := &item[K, V]{key, v, c.weigh(v)}
	c.items[key] = c.order.PushFront(i)
	c.used += i.weight
	for c.used > c.room && c.order.Len() > 1 {
		last := c.order.Remove(c.order.Back()).(*item[K, V])
		delete(c.items, last.key)
		c.used -= last.weight
	}
}

// Clear takes all values out.
func (c *Cache[K, V]) Clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.items)
	c.order.Init()
	c.used = 0
}
