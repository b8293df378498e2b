package rclone_test

import (
	"context"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/config"
	rvfs "github.com/rclone/rclone/vfs"
	"github.com/rclone/rclone/vfs/vfscommon"

	"github.com/fsva/fsva/vfs"
)

const (
	streamed = 256 << 20
	step     = 1 << 20
)

// BenchmarkStreamingRead reads an object of 256 MiB that is not in the cache: as
// a server does through this package, and through rclone's vfs alone, which is
// what rclone's own mount and servers read from.
func BenchmarkStreamingRead(b *testing.B) {
	o := serveS3(b)
	o.put(b, "object", strings.Repeat("0123456789abcdef", streamed>>4))
	b.Run("fsva", func(b *testing.B) {
		b.SetBytes(streamed)
		for b.Loop() {
			b.StopTimer()
			fs := newPlace(b, o.export("")).open(b)
			f := open(b, lookup(b, fs.Root(), "object"), vfs.OpenRead)
			b.StartTimer()
			stream(b, func(p []byte, off int64) (int, error) { return f.ReadAt(ctx, p, off) })
			b.StopTimer()
			check(b, f.Close())
			check(b, fs.Close())
			b.StartTimer()
		}
	})
	b.Run("rclone", func(b *testing.B) {
		b.SetBytes(streamed)
		for b.Loop() {
			b.StopTimer()
			check(b, config.SetCacheDir(b.TempDir()))
			f, err := fs.NewFs(context.Background(), ":s3,provider=Other,env_auth=true,region=eu-test-1,endpoint='"+o.url+"':"+bucket)
			check(b, err)
			opt := vfscommon.Opt
			opt.CacheMode = vfscommon.CacheModeFull
			v := rvfs.New(context.Background(), f, &opt)
			h, err := v.OpenFile("object", os.O_RDONLY, 0)
			check(b, err)
			b.StartTimer()
			stream(b, h.ReadAt)
			b.StopTimer()
			check(b, h.Close())
			v.Shutdown()
			b.StartTimer()
		}
	})
}

func stream(b *testing.B, readAt func(p []byte, off int64) (int, error)) {
	p := make([]byte, step)
	for off := int64(0); off < streamed; off += step {
		if n, err := readAt(p, off); n < step || err != nil && err != io.EOF {
			b.Fatalf("%d bytes at %d, %v", n, off, err)
		}
	}
}
