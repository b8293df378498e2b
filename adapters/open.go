package adapters

import (
	"context"

	"github.com/fsva/fsva/adapters/git"
	"github.com/fsva/fsva/adapters/host"
	"github.com/fsva/fsva/adapters/image"
	"github.com/fsva/fsva/adapters/mem"
	"github.com/fsva/fsva/adapters/tar"
	"github.com/fsva/fsva/adapters/zip"
	"github.com/fsva/fsva/vfs"
)

func openGit(ctx context.Context, s source, env Env) (vfs.FS, error) {
	spool, err := s.size("spool")
	if err != nil {
		return nil, err
	}
	fs, err := git.Open(ctx, s.rest, git.Options{Revision: s.Get("rev"), Dir: env.Dir, Spool: spool, Log: env.Log})
	if err != nil {
		return nil, err // not fs: a nil *git.FS is no nil vfs.FS
	}
	return fs, nil
}

func openHost(_ context.Context, s source, env Env) (vfs.FS, error) {
	opts := host.Options{Log: env.Log, Exclusive: env.Exclusive, SyncMetadata: env.Sync}
	if env.State != nil { // a nil *state.Bucket in the interface would not be nil
		opts.State = env.State
	}
	fs, err := host.Open(s.rest, opts)
	if err != nil {
		return nil, err // not fs: a nil *host.FS is no nil vfs.FS
	}
	return fs, nil
}

func openImage(_ context.Context, s source, env Env) (vfs.FS, error) {
	part, err := s.partition()
	if err != nil {
		return nil, err
	}
	return image.Open(s.rest, image.Options{Partition: part, Log: env.Log})
}

func openMem(_ context.Context, s source, _ Env) (vfs.FS, error) {
	size, err := s.size("size")
	if err != nil {
		return nil, err
	}
	return mem.New(mem.Options{Size: size}), nil
}

func openTar(ctx context.Context, s source, env Env) (vfs.FS, error) {
	unpacked, err := s.size("unpacked")
	if err != nil {
		return nil, err
	}
	return tar.Open(ctx, s.rest, tar.Options{Dir: env.Dir, Unpacked: unpacked, Log: env.Log})
}

func openZip(_ context.Context, s source, env Env) (vfs.FS, error) { return zip.Open(s.rest, env.Log) }
