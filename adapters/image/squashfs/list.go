package squashfs

import (
	"context"
	"sync"
)

// list is the sizes of the blocks of a file, which lie one after the other in the
// metadata as the blocks do in the image: where a block is shows by the sizes of
// all before it. A file may say that it has any number of blocks, and a little
// metadata unpacks to the sizes of many. So only some places are remembered, as far
// as somebody has read, and the sizes behind them are read anew.
type list struct {
	count uint64 // of blocks
	mu    sync.Mutex
	marks []mark
}

// mark is a place in a list: where the sizes go on, and the blocks.
type mark struct {
	sizes  cursor
	blocks uint64
}

const (
	// maxBlocks bounds the blocks of a file: 256 GiB of the smallest ones, 8 TiB
	// of those that mksquashfs makes.
	maxBlocks = 1 << 26
	// marked is the blocks from one mark to the next, whose sizes are half a
	// block of metadata.
	marked = 1024
)

func newList(count uint64, first mark) *list { return &list{count: count, marks: []mark{first}} }

// weight is what a list takes when all of it was read, in bytes.
func (l *list) weight() int64 {
	const perMark, perList = 32, 128
	return int64(l.count/marked+1)*perMark + perList
}

// from returns the sizes, as they are packed, of a block and of some behind it, and
// where that block is. A size of 0 is a hole.
func (l *list) from(ctx context.Context, index uint64) (sizes []uint32, at uint64, err error) {
	m, err := l.mark(ctx, index/marked)
	if err != nil {
		return nil, 0, err
	}
	at = m.blocks
	if sizes, _, err = l.run(index/marked, m); err != nil {
		return nil, 0, err
	}
	for _, size := range sizes[:index%marked] {
		at += packed(size)
	}
	return sizes[index%marked:], at, nil
}

// mark returns the mark of that number, which follows from those before it.
func (l *list) mark(ctx context.Context, number uint64) (mark, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for last := uint64(len(l.marks)) - 1; last < number; last++ {
		if err := ctx.Err(); err != nil {
			return mark{}, err
		}
		_, next, err := l.run(last, l.marks[last])
		if err != nil {
			return mark{}, err
		}
		l.marks = append(l.marks, next)
	}
	return l.marks[number], nil
}

// run returns the sizes from a mark to the next one, and that.
func (l *list) run(number uint64, m mark) (sizes []uint32, next mark, err error) {
	p, err := m.sizes.read(4 * int(min(marked, l.count-number*marked)))
	if err != nil {
		return nil, mark{}, err
	}
	sizes = make([]uint32, len(p)/4)
	for i := range sizes {
		sizes[i] = le.Uint32(p[4*i:])
		m.blocks += packed(sizes[i])
	}
	return sizes, m, nil
}

// packed is how many bytes of the image a block of data takes.
func packed(size uint32) uint64 { return uint64(size &^ notPackedData) }
