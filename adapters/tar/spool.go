package tar

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/adapters/tree"
	"github.com/fsva/fsva/adapters/unpack"
	"github.com/fsva/fsva/vfs"
)

const (
	spoolStep = 1 << 20 // bytes that are unpacked at a time
	// spare is the part of the file system of Dir that is to stay free, since
	// the appliance keeps other state there.
	spare = 16
)

// openSpooled opens an archive that is unpacked into a file.
func (a *archive) openSpooled(ctx context.Context) (*tree.FS, error) {
	if f, err := a.reopenSpool(); f != nil || err != nil {
		return f, err
	}
	a.forget()
	f, err := a.createSpool()
	if err != nil {
		return nil, fmt.Errorf("the archive is one large frame and has to be unpacked: %w", err)
	}
	a.Log.Info().Str("into", f.Name()).Msg("unpacking an archive once, since it is one large frame")
	fs, err := a.spool(ctx, f)
	if err != nil {
		f.Close()
		a.forget()
		return nil, err
	}
	a.file.Close() // it is not read again
	return fs, nil
}

// reopenSpool takes up what an earlier start has unpacked, nil if there is
// nothing of use.
func (a *archive) reopenSpool() (*tree.FS, error) {
	b, last := a.loadIndex()
	if last == nil {
		return nil, nil
	}
	f, err := os.Open(filepath.Join(a.Dir, unpackedName))
	if err != nil {
		return nil, nil
	}
	if st, err := f.Stat(); err != nil || st.Size() != last.Unpacked {
		f.Close()
		return nil, nil
	}
	fs, err := b.Build(&source{body: plain{f}, pieces: last.Pieces, file: f}, a.fingerprint)
	if err != nil {
		f.Close()
		return nil, err
	}
	a.file.Close() // it is not read again
	return fs, nil
}

// createSpool makes an empty file; one without a name where nothing is kept.
func (a *archive) createSpool() (*os.File, error) {
	if a.Dir == "" {
		f, err := os.CreateTemp("", "fsva-tar-")
		if err == nil {
			err = os.Remove(f.Name())
		}
		return f, err
	}
	if err := os.MkdirAll(a.Dir, 0o700); err != nil {
		return nil, err
	}
	// A new one: guests may still read the old one, which has no name any more.
	return os.OpenFile(filepath.Join(a.Dir, unpackedName), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
}

// spool unpacks the archive into a file and makes a tree of that.
func (a *archive) spool(ctx context.Context, f *os.File) (*tree.FS, error) {
	size, err := a.unpackInto(ctx, f)
	if err != nil {
		return nil, err
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	return a.walk(ctx, &source{body: plain{f}, file: f}, size, errShort, a.newIndex())
}

func (a *archive) unpackInto(ctx context.Context, f *os.File) (size int64, err error) {
	stream := unpack.Zstd(a.file, a.file.Size(), nil, unpack.Options{Cache: unpack.NewCache(1), Decoders: 1})
	p := make([]byte, spoolStep)
	for {
		n, err := packed{stream}.read(ctx, p, size)
		if err != nil {
			return 0, err
		}
		if size += int64(n); size > a.Unpacked {
			return 0, a.tooLarge()
		}
		if err := room(f, size); err != nil {
			return 0, err
		}
		if _, err := f.Write(p[:n]); err != nil {
			return 0, err
		}
		if n < len(p) {
			return size, nil
		}
	}
}

// room checks that there is space for more.
func room(f *os.File, size int64) error {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return err
	}
	if st.Bavail < st.Blocks/spare {
		return vfs.Errorf(vfs.ENOSPC, "the archive has to be unpacked and does not fit: after %d bytes the disk of %s is nearly full; make room, or pack it in frames of at most %d bytes (pzstd does)",
			size, f.Name(), maxFrame)
	}
	return nil
}
