package rclone

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/rclone/rclone/fs"
	"github.com/rs/zerolog"
)

// rclone has one log for the whole process, in which its write-back says that an
// upload failed: it tells nobody else. That goes to the ledgers; the rest is
// for who debugs, and bounded, since a remote that is gone fails for every file
// over and over.
const (
	logBurst  = 50
	logPeriod = time.Minute

	// uploadFailed is how the message begins, and retry what comes before the
	// reason. A test fails should rclone change them.
	uploadFailed = "vfs cache: failed to upload try #"
	retry        = "will retry in "
)

// listeners are the ledgers that hear of failed uploads.
var listeners struct {
	sync.Mutex
	ledgers map[*ledger]bool
}

func listen(l *ledger) {
	listeners.Lock()
	defer listeners.Unlock()
	if listeners.ledgers == nil {
		listeners.ledgers = make(map[*ledger]bool)
	}
	listeners.ledgers[l] = true
}

func unlisten(l *ledger) {
	listeners.Lock()
	defer listeners.Unlock()
	delete(listeners.ledgers, l)
}

// handler is a slog.Handler on a zerolog.Logger. rclone's records have a
// message and the object that it is about.
type handler struct{ log zerolog.Logger }

func newHandler(log zerolog.Logger) handler {
	return handler{log.With().Str("by", "rclone").Logger().Sample(&zerolog.BurstSampler{Burst: logBurst, Period: logPeriod})}
}

// Enabled implements slog.Handler.
func (handler) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelError }

// Handle implements slog.Handler.
func (h handler) Handle(_ context.Context, r slog.Record) error {
	object := ""
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "object" {
			object = a.Value.String()
		}
		return true
	})
	if strings.HasPrefix(r.Message, uploadFailed) {
		reason := r.Message
		if _, after, ok := strings.Cut(reason, retry); ok {
			_, reason, _ = strings.Cut(after, ": ")
		}
		listeners.Lock()
		defer listeners.Unlock()
		for l := range listeners.ledgers {
			l.failed(object, hideText(reason))
		}
		return nil
	}
	h.log.Debug().Str("about", object).Msg(hideText(r.Message))
	return nil
}

// WithAttrs implements slog.Handler; rclone does not use it.
func (h handler) WithAttrs([]slog.Attr) slog.Handler { return h }

// WithGroup implements slog.Handler; rclone does not use it.
func (h handler) WithGroup(string) slog.Handler { return h }

var _ slog.Handler = handler{}

// once sets what rclone has once for a process.
var once sync.Once

const (
	connectLimit = 15 * time.Second
	idleLimit    = 30 * time.Second // of a connection on which data is awaited
	attempts     = 3                // of a request
)

func configure(log zerolog.Logger) {
	once.Do(func() {
		fs.SetLogger(newHandler(log))
		c := fs.GetConfig(context.Background())
		c.LogLevel = fs.LogLevelError
		c.AskPassword = false
		c.ConnectTimeout = fs.Duration(connectLimit)
		c.Timeout = fs.Duration(idleLimit)
		c.LowLevelRetries = attempts
		// A name is a string of bytes to a guest, and no other is it.
		c.NoUnicodeNormalization = true
	})
}
