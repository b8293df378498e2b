package boot

import (
	"io"
	"os"
	"strings"
	"syscall"
)

// The process that serves takes as long to start as the devices take to be
// found: a third of a second each where the processor is emulated. So the first
// one is started before it is known how it is to be called: under the name
// awaiting it waits for its command line, an argument per NUL, at callFD.
const (
	awaiting = "awaiting"
	callFD   = 3
)

// server is a process that serves, or will when it is called.
type server struct {
	pid       int
	ended     <-chan syscall.WaitStatus
	out, errs io.ReadCloser
	call      io.WriteCloser // nil if it has its command line
}

// startEarly starts one that waits.
func startEarly(kids *children) (*server, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	s, err := startServer(kids, []string{awaiting}, r)
	if err != nil {
		w.Close()
		return nil, err
	}
	s.call = w
	return s, nil
}

// startServer starts one with this command line, the program's name first.
func startServer(kids *children, argv []string, more ...*os.File) (*server, error) {
	out, outW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer outW.Close()
	errs, errsW, err := os.Pipe()
	if err != nil {
		out.Close()
		return nil, err
	}
	defer errsW.Close()
	pid, ended, err := kids.start(self, argv, append([]*os.File{os.Stdin, outW, errsW}, more...)...)
	if err != nil {
		out.Close()
		errs.Close()
		return nil, err
	}
	return &server{pid: pid, ended: ended, out: out, errs: errs}, nil
}

// callWith has one that waits go on with these arguments. If it has ended
// meanwhile, its channel tells.
func (s *server) callWith(args []string) {
	_, _ = io.WriteString(s.call, strings.Join(args, "\x00"))
	s.call.Close()
	s.call = nil
}

// dismiss ends one that waits and will not be called.
func (s *server) dismiss() {
	s.call.Close()
	s.out.Close()
	s.errs.Close()
}

// await returns the arguments that a process is called with, once it is.
func await() []string {
	f := os.NewFile(callFD, "command line")
	b, err := io.ReadAll(f)
	f.Close()
	if err != nil || len(b) == 0 { // it is not wanted
		os.Exit(0)
	}
	return strings.Split(string(b), "\x00")
}
