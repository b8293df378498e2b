package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
)

// A stage is what the guests' harness takes for a test: it keeps what is to be
// done at the end, and the first thing that went wrong. Only the goroutine of
// onStage's function may use it.
type stage struct {
	cleanups []func()
	err      error
	log      strings.Builder
}

// onStage calls f, which may end by Fatal, and cleans up after it.
func onStage(f func(t *stage)) error {
	t := &stage{}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer func() {
			for _, c := range t.cleanups {
				defer c() // each, and the last one first, even if one ends by Fatal
			}
		}()
		f(t)
	}()
	<-ended
	if t.err != nil && t.log.Len() > 0 {
		return fmt.Errorf("%w\n%s", t.err, t.log.String())
	}
	return t.err
}

func (t *stage) Cleanup(f func()) { t.cleanups = append(t.cleanups, f) }
func (t *stage) Failed() bool     { return t.err != nil }
func (t *stage) Helper()          {}

// Logf keeps what it is told for the case that the stage fails.
func (t *stage) Logf(format string, args ...any) { fmt.Fprintf(&t.log, format+"\n", args...) }

func (t *stage) Fatalf(format string, args ...any) { t.Fatal(fmt.Sprintf(format, args...)) }

func (t *stage) Fatal(args ...any) {
	t.err = cmp.Or(t.err, errors.New(fmt.Sprint(args...)))
	runtime.Goexit()
}

func (t *stage) TempDir() string {
	dir, err := os.MkdirTemp("", "fsva-bench-stage")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
