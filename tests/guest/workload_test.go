package guest_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fsva/fsva/tests/guest"
)

// workload is something that takes a guest a while. It must end well whether
// or not the server crashes in the middle.
type workload struct {
	name string
	// script works in the guest's directory. It may go on until the file
	// $DONE exists.
	script func(t *testing.T) string
	// middle is printed when the work has begun and is far from done.
	middle string
	check  func(t *testing.T, s site, printed string)
}

var workloads = []workload{
	{"untar", untar, "checkpoint 500", checkTree},
	{"git", gitScript, "add 'net/http/", checkGit},
	{"append", appendScript, "acknowledged 5", checkAppended},
	{"mmap", mmapScript, "round 1", checkMapped},
	{"compile", compileScript, "WORK=", checkCompiled},
	{"directory", directoryScript, "made\nmade\nmade\n", checkDirectory},
	{"removal", removalScript, "\n300\n", checkRemoval},
	{"replacement", replacementScript, "round 5", checkReplacement},
}

// doneFile tells a workload that it need not go on. It is in the guest's own
// memory.
const doneFile = "/run/done"

// workLimit is how long a workload may take until it is in the middle, and from
// there to its end, where four guests at a time share two processors: three times
// what the slowest takes.
const workLimit = 5 * time.Minute

func TestWorkloads(t *testing.T) {
	for _, w := range workloads {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			ways := everyWay
			switch w.name { // long; with a crash, all are done on disk by both versions
			case "untar", "git":
				ways = newestV4
			case "compile", "directory", "removal", "replacement":
				ways = inMemory
			}
			each(t, ways, func(t *testing.T, s site) {
				s.g.Run(t, "touch "+doneFile)
				w.check(t, s, w.start(t, s).Wait(t, workLimit))
			})
		})
	}
}

func TestWorkloadsSurviveACrashOfTheServer(t *testing.T) {
	for _, w := range workloads {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			each(t, onDisk, func(t *testing.T, s site) {
				s.g.Run(t, "rm -f "+doneFile)
				c := w.start(t, s)
				c.WaitFor(t, w.middle, workLimit)
				s.srv.Kill9(t)
				if !c.Running() {
					t.Fatal("the workload was done before the crash: it proves nothing")
				}
				s.srv.Restart(t)
				s.g.Run(t, "touch "+doneFile)
				w.check(t, s, c.Wait(t, workLimit+recovery))
			})
		})
	}
}

func (w workload) start(t *testing.T, s site) *guest.Command {
	t.Helper()
	return s.g.Start(t, "DONE="+doneFile+"\ncd "+s.mnt+"\n"+w.script(t))
}

// goroot is a real source tree that every machine with our tools has.
func goroot(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatalf("go env GOROOT: %v", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "src")
}

// tree is the part of Go's source that is unpacked.
const tree = "net encoding os syscall"

// manifest prints the SHA-256 of every file below the directory it runs in.
const manifest = "find " + tree + " -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum"

// untar unpacks a source tree that tar packs on the host.
func untar(t *testing.T) string {
	file := filepath.Join(t.TempDir(), "tree.tar")
	pack := exec.Command("sh", "-c", "tar -cf "+file+" "+tree)
	pack.Dir = goroot(t)
	if out, err := pack.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", pack, err, out)
	}
	if err := os.Chmod(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	return "tar --checkpoint=500 --checkpoint-action='echo=checkpoint %u' -xf " + file
}

func checkTree(t *testing.T, s site, _ string) {
	sums := exec.Command("sh", "-c", manifest)
	sums.Dir = goroot(t)
	want, err := sums.Output()
	if err != nil {
		t.Fatal(err)
	}
	s.same(t, manifest, string(want))
}

// gitScript does what a developer does with a tree of 400 files.
func gitScript(t *testing.T) string {
	return `git config --global user.name Guest
		git config --global user.email guest@example.org
		cp -r ` + goroot(t) + `/net .
		git init -q .
		git add -v .
		git commit -q -m first
		echo 'package net' > net/added.go
		rm net/dial.go
		git add -A && git commit -q -m second
		git gc -q
		git status --porcelain > $HOME/status
		test ! -s $HOME/status || { cat $HOME/status; exit 1; }`
}

func checkGit(t *testing.T, s site, _ string) {
	s.forget(t)
	s.g.Run(t, "cd "+s.mnt+" && git fsck --full --strict && git diff --exit-code HEAD && test $(git rev-list --count HEAD) = 2")
}

// appendScript appends to one file from two processes.
func appendScript(t *testing.T) string {
	w := guest.Program(t, "appendwriter") + " -lock -fsync -n 40 -until $DONE"
	return w + " -name a log & A=$!\n" + w + " -name b log & B=$!\nwait $A; wait $B"
}

// checkAppended finds each record that was acknowledged once, whole and in
// its place.
func checkAppended(t *testing.T, s site, printed string) {
	s.forget(t)
	next := map[string]int{}
	for _, line := range strings.Split(strings.TrimSuffix(s.g.Run(t, "cat "+s.mnt+"/log"), "\n"), "\n") {
		name, rest, _ := strings.Cut(line, " ")
		number, _, _ := strings.Cut(rest, " ")
		if len(line) != 63 || number != strconv.Itoa(next[name]) {
			t.Fatalf("the file has %q where record %d of %q belongs", line, next[name], name)
		}
		next[name]++
	}
	for _, name := range []string{"a", "b"} {
		if wrote := fmt.Sprintf("wrote %d\n", next[name]); next[name] < 40 || !strings.Contains(printed, wrote) {
			t.Errorf("the file has %d records of %s; the writers printed\n%s", next[name], name, printed)
		}
	}
}

func mmapScript(t *testing.T) string {
	return guest.Program(t, "mmapwriter") + " -pages 1024 -until $DONE mapped"
}

func checkMapped(t *testing.T, s site, printed string) {
	_, sum, found := strings.Cut(printed, "sum ")
	if !found {
		t.Fatalf("no sum was printed:\n%s", printed)
	}
	s.same(t, "sha256sum mapped", strings.TrimSpace(sum)+"  mapped\n")
}
