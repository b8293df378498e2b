package objects

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/klauspost/compress/zlib"
)

// inflater inflates a zlib stream. Its buffers are used again by others after
// close.
type inflater struct {
	in  *bufio.Reader
	out io.ReadCloser
}

var inflaters = sync.Pool{New: func() any { return &inflater{in: bufio.NewReaderSize(nil, 8<<10)} }}

func inflate(r io.Reader) (*inflater, error) {
	z := inflaters.Get().(*inflater)
	z.in.Reset(r)
	var err error
	if z.out == nil {
		z.out, err = zlib.NewReader(z.in)
	} else {
		err = z.out.(zlib.Resetter).Reset(z.in, nil)
	}
	if err != nil {
		z.close()
		return nil, corrupt(err)
	}
	return z, nil
}

func (z *inflater) close() {
	z.in.Reset(nil)
	inflaters.Put(z)
}

func (z *inflater) Read(p []byte) (int, error) {
	n, err := z.out.Read(p)
	if err != nil && err != io.EOF {
		err = corrupt(err)
	}
	return n, err
}

// readAll reads what must be exactly size bytes, with the checksum behind them.
func (z *inflater) readAll(size int64) ([]byte, error) {
	data := make([]byte, size)
	if _, err := io.ReadFull(z, data); err != nil {
		return nil, corrupt(err)
	}
	return data, z.end()
}

// end makes sure that the stream ends here.
func (z *inflater) end() error {
	var more [1]byte
	n, err := io.ReadFull(z, more[:])
	if n != 0 {
		return fmt.Errorf("%w: an object is longer than it says", ErrCorrupt)
	}
	if err != io.EOF {
		return corrupt(err)
	}
	return nil
}

// corrupt makes an error of inflating ErrCorrupt, but not one of the file below.
func corrupt(err error) error {
	var path *os.PathError
	if errors.Is(err, ErrCorrupt) || errors.As(err, &path) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrCorrupt, err)
}
