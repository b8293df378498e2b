package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// leave is the step in which the reader of docs/start.md types Ctrl-].
const leave = "\x1d"

// cloned is its command that gets the sources. Those of the test stand in for
// what it would get.
const cloned = "git clone https://github.com/fsva/fsva && cd fsva"

// steps are what docs/start.md has its reader type: the lines of its indented
// blocks, where a here-document is one with its command, and the key that leaves
// the console.
func steps(t *testing.T) (list []string) {
	t.Helper()
	b, err := os.ReadFile("../../docs/start.md")
	if err != nil {
		t.Fatal(err)
	}
	here := false
	for line := range strings.Lines(string(b)) {
		command, indented := strings.CutPrefix(strings.TrimRight(line, "\n"), "    ")
		switch {
		case here && indented:
			list[len(list)-1] += "\n" + command
			here = command != "END"
		case here:
			t.Fatalf("a here-document does not end before %q", line)
		case indented:
			list = append(list, command)
			here = strings.HasSuffix(command, "<<END")
		case strings.HasPrefix(line, "Ctrl-]"):
			list = append(list, leave)
		}
	}
	return list
}

// session is a shell in namespaces of its own, with all that runs in it.
type session struct {
	t     *testing.T
	began time.Time
	keys  io.Writer
	out   *os.File
	said  string
	from  int // what was said before belongs to an earlier step
}

// startLimit is how long a step may take. The longest compile and download, or
// boot an emulated machine.
const startLimit = 15 * time.Minute

// newSession starts a shell whose /usr/local and /srv are the host's until they
// are written to. Its end is that of all processes in it.
func newSession(t *testing.T) *session {
	t.Helper()
	runtime.LockOSThread() // whose end would be that of the shell
	out, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	cmd := exec.Command("bash", "-ec", `mount --make-rprivate /
		mount -t proc proc /proc
		mount -t tmpfs tmpfs "$SCRATCH"
		mount -t tmpfs tmpfs /run
		layer() { mkdir -p "$SCRATCH/$1/upper" "$SCRATCH/$1/work"; mount -t overlay -o "lowerdir=/$1,upperdir=$SCRATCH/$1/upper,workdir=$SCRATCH/$1/work" overlay "/$1"; }
		layer usr/local
		layer srv
		export -f layer
		set +e
		exec bash`)
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "SCRATCH="+t.TempDir())
	cmd.Stdout, cmd.Stderr = theirs, theirs
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	keys, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has ended if all went well
		_ = cmd.Wait()
		out.Close()
	})
	return &session{t: t, began: time.Now(), keys: keys, out: out}
}

// enter types text, which begins a step.
func (s *session) enter(text string) {
	s.t.Helper()
	s.t.Logf("%v %s", time.Since(s.began).Round(time.Second), strings.ReplaceAll(text, leave, "Ctrl-]"))
	s.from = len(s.said)
	s.press(text)
}

func (s *session) press(text string) {
	s.t.Helper()
	if _, err := io.WriteString(s.keys, text); err != nil {
		s.t.Fatalf("%v\n%s", err, s.said)
	}
}

// sees reports whether a pattern is among what the step says in that time.
func (s *session) sees(pattern string, limit time.Duration) []string {
	s.t.Helper()
	re := regexp.MustCompile(pattern)
	_ = s.out.SetReadDeadline(time.Now().Add(limit)) // pipes have deadlines
	for b := make([]byte, 4096); ; {
		if found := re.FindStringSubmatch(s.said[s.from:]); found != nil {
			return found
		}
		n, err := s.out.Read(b)
		s.said += string(b[:n])
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		} else if err != nil {
			s.t.Fatalf("it ended: %v\n%s", err, s.said)
		}
	}
}

// await is sees of what must come.
func (s *session) await(pattern string) {
	s.t.Helper()
	if s.sees(pattern, startLimit) == nil {
		s.t.Fatalf("no %q comes:\n%s", pattern, s.said)
	}
}

// run types a command at a prompt of the host or of the guest, which must succeed.
func (s *session) run(command string) {
	s.t.Helper()
	s.enter(command + "\necho \"exit code $?.\"\n")
	found := s.sees(`exit code (\d+)\.`, startLimit)
	if found == nil || found[1] != "0" {
		s.t.Fatalf("%s: %v\n%s", command, found, s.said)
	}
}

// Each command is run as it stands in the text. Those that build have the host's
// network, to download what is missing; from host up on there is another, in
// which there is nothing.
func TestStartIsTenCommandsToAMountedGuest(t *testing.T) {
	if os.Getenv("FSVA_START") == "" {
		t.Skip("FSVA_START does not say that it may install packages: make test-start")
	}
	if os.Geteuid() != 0 {
		t.Skip("machines and namespaces need root")
	}
	list := steps(t)
	if len(list) < 10 || !strings.HasPrefix(list[9], "mount -t 9p ") || list[1] != cloned {
		t.Fatalf("the tenth command does not mount by 9P, or the second does not clone: %q", list)
	}
	s := newSession(t)
	for _, step := range list {
		switch {
		case step == cloned: // the session is in the sources
		case step == "appliance host up":
			s.enter("exec unshare --net bash\n")
			s.run(step)
		case strings.HasPrefix(step, "mkdir -p /etc/fsva"):
			s.run("layer etc")
			s.run(step)
		case strings.HasSuffix(step, "&"):
			s.run(step)
			fields := strings.Fields(step)
			s.await("ready machine=" + fields[len(fields)-2] + " ")
		case strings.HasPrefix(step, "appliance host console"):
			s.enter(step + "\n")
			s.await("Ctrl-] to leave")
			for end := time.Now().Add(startLimit); s.sees("web1# ", time.Second) == nil && time.Now().Before(end); {
				s.press("\n")
			}
		case step == leave:
			s.enter(step)
			s.await("console of web1: left")
		default:
			s.run(step)
			if strings.HasPrefix(step, "cat /mnt/9p/letter") {
				s.await(`\nhello from web1\r`)
			}
		}
	}
	s.run("! ip -o link | grep -v ' lo:'")
	s.run("! grep fsva- /proc/[0-9]*/comm") // as host run calls QEMU
	s.run("! ls /srv/fsva /usr/local/bin/appliance /etc/fsva/host.yaml")
	if strings.Contains(s.said, "does not turn itself off") {
		t.Errorf("a machine had to be forced:\n%s", s.said)
	}
}
