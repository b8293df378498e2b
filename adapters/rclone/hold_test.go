package rclone

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/object"
)

// slow is a back end whose uploads end when they are told to, or their context is.
type slow struct {
	fs.Fs
	begun  chan struct{}
	answer chan struct{}
}

func (s *slow) Put(ctx context.Context, _ io.Reader, _ fs.ObjectInfo, _ ...fs.OpenOption) (fs.Object, error) {
	close(s.begun)
	select {
	case <-s.answer:
		return nil, ctx.Err()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// stopped is what a small upload ends with that is stopped, and may go on for
// while; answered says that the remote answers after that.
func stopped(t *testing.T, while time.Duration, answered bool) error {
	t.Helper()
	s := &slow{begun: make(chan struct{}), answer: make(chan struct{})}
	r := &remote{Fs: s, limit: while}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := r.Put(ctx, strings.NewReader("small"), object.NewStaticObjectInfo("file", time.Time{}, 5, true, nil, nil))
		ended <- err
	}()
	<-s.begun
	stop()
	if answered {
		close(s.answer)
	}
	select {
	case err := <-ended:
		return err
	case <-time.After(5 * time.Minute):
		t.Fatal("the upload has not ended")
		return nil
	}
}

func TestSmallUploadThatIsStoppedGoesOnForACallsTime(t *testing.T) {
	t.Parallel()
	if err := stopped(t, time.Hour, true); err != nil {
		t.Errorf("it is broken off at once: %v", err)
	}
	if err := stopped(t, time.Millisecond, false); !errors.Is(err, context.Canceled) {
		t.Errorf("it ends with %v", err)
	}
}
