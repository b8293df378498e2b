package disk

import (
	"context"
	"strings"
	"testing"

	"github.com/fsva/fsva/vfs"
)

func TestFileIsItsExtentsInOrder(t *testing.T) {
	f := NewFile(strings.NewReader("0123456789"), []Extent{{7, 3}, {0, 2}, {4, 1}})
	const want = "789014"
	for off := range len(want) {
		for end := off; end <= len(want); end++ {
			p := make([]byte, end-off)
			if err := f.ReadAt(context.Background(), p, int64(off)); err != nil || string(p) != want[off:end] {
				t.Errorf("bytes %d to %d are %q, %v; want %q", off, end, p, err, want[off:end])
			}
		}
	}
}

func TestFileThatIsNotAllOnTheDeviceIsCorrupt(t *testing.T) {
	dev := strings.NewReader("0123456789")
	for name, f := range map[string]*File{
		"extent past the end": NewFile(dev, []Extent{{0, 5}, {8, 5}}),
		"too few extents":     NewFile(dev, []Extent{{0, 5}}),
		"none":                NewFile(dev, nil),
	} {
		if err := f.ReadAt(context.Background(), make([]byte, 10), 0); vfs.ErrnoOf(err) != vfs.EIO {
			t.Errorf("%s: %v", name, err)
		}
	}
}
