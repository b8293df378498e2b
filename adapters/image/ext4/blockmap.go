package ext4

// directBlocks are those that an inode of ext2 or ext3 maps itself. Behind them
// are one block each of one, two and three levels of blocks of numbers.
const (
	directBlocks = 12
	mapLevels    = 3
)

// mapped maps a block of a file by its block map.
func (f *FS) mapped(i *inode, block uint32) (run, error) {
	numbers, index := i.blockMap()[:directBlocks*4], uint64(block)
	perBlock := uint64(f.super.blockSize / 4)
	if index < directBlocks {
		return contiguous(numbers, index), nil
	}
	index -= directBlocks
	span := uint64(1) // how many blocks one number stands for
	for level := 1; ; level++ {
		if level > mapLevels {
			return run{count: 1}, nil // no file of this kind is so long
		}
		if index < span*perBlock {
			return f.indirect(le.Uint32(i.blockMap()[(directBlocks+level-1)*4:]), index, span*perBlock)
		}
		index -= span * perBlock
		span *= perBlock
	}
}

// indirect follows a number that stands for span blocks down to the one of index.
func (f *FS) indirect(number uint32, index, span uint64) (run, error) {
	perBlock := uint64(f.super.blockSize / 4)
	for {
		if number == 0 {
			return run{count: span - index}, nil
		}
		numbers, err := f.block(uint64(number))
		if err != nil {
			return run{}, err
		}
		span /= perBlock
		if span == 1 {
			return contiguous(numbers, index), nil
		}
		number = le.Uint32(numbers[index/span*4:])
		index %= span
	}
}

// contiguous is the run from a place in a list of numbers on.
func contiguous(numbers []byte, index uint64) run {
	r := run{at: uint64(le.Uint32(numbers[index*4:])), count: 1}
	for index+r.count < uint64(len(numbers))/4 {
		next := uint64(le.Uint32(numbers[(index+r.count)*4:]))
		if r.at == 0 && next != 0 || r.at != 0 && next != r.at+r.count {
			break
		}
		r.count++
	}
	return r
}
