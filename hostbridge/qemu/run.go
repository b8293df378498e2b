package qemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rs/zerolog"
)

// Options are how a machine is kept running.
type Options struct {
	// Restart starts QEMU again when it ends otherwise than in order: by a
	// signal, or with an error. A machine that turns itself off stays off.
	Restart bool
	// PowerOff is how long the machine has to turn itself off when it is asked.
	PowerOff time.Duration
	// Hurry, when closed, ends each wait for the machine.
	Hurry <-chan struct{}
	// Running is told each time that QEMU runs the machine.
	Running func(pid int)
	Log     zerolog.Logger
}

// pauses are how long a restart waits. Each next one waits twice as long, until
// the machine has run for some time.
const (
	firstPause = time.Second
	lastPause  = 30 * time.Second
	longRun    = time.Minute
)

// Limits of what QEMU itself has to do, which is little.
const (
	startLimit = 30 * time.Second // until its monitor answers
	quitLimit  = 5 * time.Second
	askAgain   = 3 * time.Second // a machine that boots does not hear its power button
)

// Run runs the machine until it turns itself off, which is no error, or until
// ctx ends; then it is asked to turn itself off, QEMU is asked to quit, and at
// last killed. The error of a machine that never ran is QEMU's, whatever
// Restart says.
func (m *Machine) Run(ctx context.Context, o Options) error {
	console, err := openConsoleLog(m.Log, o.Log.With().Str("machine", m.Name).Logger())
	if err != nil {
		return err
	}
	defer console.Close()
	pause, ran := firstPause, false
	for {
		began := time.Now()
		err := m.once(ctx, &o, console, &ran)
		if err == nil || !ran || !o.Restart {
			return err
		}
		if time.Since(began) >= longRun {
			pause = firstPause
		}
		o.Log.Warn().Err(err).Str("machine", m.Name).Dur("pause", pause).Msg("the machine ended and is started again")
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPause)
	}
}

// once runs QEMU once, from start to end.
func (m *Machine) once(ctx context.Context, o *Options, console io.Writer, ran *bool) error {
	for _, stale := range []string{m.QMP, m.Console} {
		if err := os.Remove(stale); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	p, err := m.start(console)
	if err != nil {
		return err
	}
	mon, err := p.connect(ctx, m.QMP)
	switch {
	case err != nil && ctx.Err() != nil:
		p.kill() // before it did anything
		return nil
	case err != nil:
		p.kill()
		return errors.Join(err, p.failure())
	case mon == nil:
		return p.failure() // it ended before it ran
	}
	defer mon.Close()
	*ran = true
	o.Log.Info().Str("machine", m.Name).Int("pid", p.cmd.Process.Pid).Msg("the machine runs")
	o.Running(p.cmd.Process.Pid)
	select {
	case <-p.ended:
		return p.failure()
	case <-ctx.Done():
		p.stop(mon, m.Name, o)
		return nil
	}
}

// process is one run of QEMU.
type process struct {
	cmd    *exec.Cmd
	ended  chan struct{} // closed when it has; then err is set
	err    error
	stderr tail
}

// start starts QEMU. The kernel sends it SIGTERM if this process dies, since
// nobody else would know of it: to QEMU that is an order to quit. The thread
// must live as long (prctl(2), PR_SET_PDEATHSIG), so that it only waits.
func (m *Machine) start(console io.Writer) (*process, error) {
	p := &process{cmd: exec.Command(m.Binary, m.Arguments()...), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = console, &p.stderr
	p.cmd.WaitDelay = time.Second // for what inherited its output
	// Signals of the terminal are for us: QEMU would take them as an order.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
			close(p.ended)
		}
	}()
	return p, <-started
}

// connect returns the monitor as soon as it answers, or nil if QEMU has ended
// before.
func (p *process) connect(ctx context.Context, socket string) (*Monitor, error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		mon, err := Dial(ctx, socket)
		if err == nil {
			return mon, nil
		}
		select {
		case <-p.ended:
			return nil, nil
		case <-ctx.Done():
			return nil, fmt.Errorf("QEMU does not answer: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop ends the machine in order: by its power button, by QEMU's own end, by
// the kernel.
func (p *process) stop(mon *Monitor, name string, o *Options) {
	ctx := context.Background() // that of the machine has ended
	deadline := time.Now().Add(o.PowerOff)
	for left := o.PowerOff; left > 0; left = time.Until(deadline) {
		if _, err := mon.Do(ctx, "system_powerdown"); err != nil {
			break // it has ended, or will not listen to more
		}
		if p.wait(min(left, askAgain), o.Hurry) {
			return
		}
		if hurried(o.Hurry) {
			break
		}
	}
	if p.wait(0, nil) {
		return
	}
	o.Log.Warn().Str("machine", name).Dur("after", o.PowerOff).Msg("the machine does not turn itself off; QEMU is to quit")
	if _, err := mon.Do(ctx, "quit"); err == nil && p.wait(quitLimit, nil) {
		return
	}
	if p.wait(0, nil) {
		return
	}
	o.Log.Warn().Str("machine", name).Msg("QEMU does not quit and is killed")
	p.kill()
}

// wait reports whether the process has ended, at the latest after d or when
// hurry is closed.
func (p *process) wait(d time.Duration, hurry <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-p.ended:
		return true
	case <-hurry:
	case <-t.C:
	}
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

func hurried(hurry <-chan struct{}) bool {
	select {
	case <-hurry:
		return true
	default:
		return false
	}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended meanwhile
	<-p.ended
}

// failure is why a process ended that has, nil if it did so in order.
func (p *process) failure() error {
	if p.err == nil {
		return nil
	}
	return fmt.Errorf("QEMU: %w: %s", p.err, p.stderr.String())
}

// tail keeps the end of what QEMU says of itself.
type tail struct {
	mu   sync.Mutex
	text []byte
}

// maxTail is how much of that is kept, in bytes.
const maxTail = 4096

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if over := len(t.text) - maxTail; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(strings.Fields(string(t.text)), " ")
}
