package qemu

import (
	"errors"
	"io"
	"os"

	"github.com/rs/zerolog"
)

// maxLog is how much of what a console says is kept, in bytes, and at least
// half of it. It is memory of the host, since the file is below /run.
const maxLog = 2 << 20

// consoleLog is a file with the end of what the console of a machine says.
//
// QEMU itself would append to a file for ever, and how much that is, the guest
// decides. So QEMU writes to a pipe: a guest that prints faster than this
// process writes waits for it.
type consoleLog struct {
	file *os.File
	size int64
	log  zerolog.Logger
	told bool // of an error
}

func openConsoleLog(path string, log zerolog.Logger) (*consoleLog, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	l := &consoleLog{file: f, log: log}
	st, err := f.Stat()
	if err == nil {
		l.size = st.Size()
		err = l.makeRoom(0)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return l, nil
}

// Write takes everything, also what cannot be kept: at an error the pipe would
// be closed, and nothing that the console says later would be kept, either.
func (l *consoleLog) Write(b []byte) (int, error) {
	if err := l.add(b); err != nil && !l.told {
		l.told = true
		l.log.Warn().Err(err).Msg("what the console says is not kept")
	}
	return len(b), nil
}

func (l *consoleLog) add(b []byte) error {
	if err := l.makeRoom(len(b)); err != nil {
		return err
	}
	n, err := l.file.Write(b)
	l.size += int64(n)
	return err
}

// makeRoom drops the older half of the log if n bytes more would be too many.
// The file stays the same one, for those who follow it.
func (l *consoleLog) makeRoom(n int) error {
	if l.size+int64(n) <= maxLog {
		return nil
	}
	end := make([]byte, maxLog/2)
	had, err := l.file.ReadAt(end, max(0, l.size-int64(len(end))))
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	had, err = l.file.Write(end[:had])
	l.size = int64(had)
	return err
}

func (l *consoleLog) Close() error { return l.file.Close() }
