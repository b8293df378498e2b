package rclone_test

import (
	"context"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

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
// what rclone's own mount and servers read from. Each round has both, in turns
// first, for what the disk has to write falls on who comes next. It reports the
// median rates and their ratio.
func BenchmarkStreamingRead(b *testing.B) {
	o := serveS3(b)
	o.put(b, "object", strings.Repeat("0123456789abcdef", streamed>>4))
	readers := [...]func(*testing.B, *objects) time.Duration{streamAdapter, streamRclone}
	var took [len(readers)][]time.Duration
	for round := 0; b.Loop(); round++ {
		for i := range readers {
			i = (i + round) % len(readers)
			took[i] = append(took[i], readers[i](b, o))
		}
	}
	rate := func(t []time.Duration) float64 {
		slices.Sort(t)
		return streamed / 1e6 / t[len(t)/2].Seconds()
	}
	ours, theirs := rate(took[0]), rate(took[1])
	b.ReportMetric(0, "ns/op") // of both, which is nobody's
	b.ReportMetric(ours, "fsva-MB/s")
	b.ReportMetric(theirs, "rclone-MB/s")
	b.ReportMetric(theirs/ours, "times-rclone's-time")
}

func streamAdapter(b *testing.B, o *objects) time.Duration {
	fs := newPlace(b, o.export("")).open(b)
	f := open(b, lookup(b, fs.Root(), "object"), vfs.OpenRead)
	took := stream(b, func(p []byte, off int64) (int, error) { return f.ReadAt(ctx, p, off) })
	check(b, f.Close())
	check(b, fs.Close())
	return took
}

func streamRclone(b *testing.B, o *objects) time.Duration {
	check(b, config.SetCacheDir(b.TempDir()))
	f, err := fs.NewFs(context.Background(), ":s3,provider=Other,env_auth=true,region=eu-test-1,endpoint='"+o.url+"':"+bucket)
	check(b, err)
	opt := vfscommon.Opt
	opt.CacheMode = vfscommon.CacheModeFull
	v := rvfs.New(context.Background(), f, &opt)
	h, err := v.OpenFile("object", os.O_RDONLY, 0)
	check(b, err)
	took := stream(b, h.ReadAt)
	check(b, h.Close())
	v.Shutdown()
	return took
}

// stream reads all and returns the time it took.
func stream(b *testing.B, readAt func(p []byte, off int64) (int, error)) time.Duration {
	p := make([]byte, step)
	start := time.Now()
	for off := int64(0); off < streamed; off += step {
		if n, err := readAt(p, off); n < step || err != nil && err != io.EOF {
			b.Fatalf("%d bytes at %d, %v", n, off, err)
		}
	}
	return time.Since(start)
}
