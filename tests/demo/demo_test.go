package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// arguments are those with which make demo runs the command.
func arguments(t *testing.T) []string {
	t.Helper()
	appliance, qemu := os.Getenv("FSVA_DEMO"), os.Getenv("FSVA_QEMU")
	if appliance == "" || qemu == "" {
		t.Skip("FSVA_DEMO and FSVA_QEMU do not say where the binary and QEMU are: make test-demo")
	}
	return []string{"-appliance", appliance, "-qemu", qemu,
		"-microvm", "../../images/out/microvm", "-cache", "../../images/out/cache", "-guests", "guest.sh"}
}

// command is the demonstration, with a temporary directory of the test's.
func command(t *testing.T) (cmd *exec.Cmd, tmp string) {
	t.Helper()
	args := arguments(t)
	binary := filepath.Join(t.TempDir(), "demo")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	tmp = t.TempDir()
	cmd = exec.Command(binary, args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	return cmd, tmp
}

// nothingIsLeft fails the test if files or processes of the demonstration are.
func nothingIsLeft(t *testing.T, tmp string) {
	t.Helper()
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("files are left: %v, %v", left, err)
	}
	found, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is correct
	for _, f := range found {
		if b, err := os.ReadFile(f); err == nil && bytes.Contains(b, []byte(tmp)) {
			t.Errorf("a process is left: %s", bytes.ReplaceAll(b, []byte{0}, []byte(" ")))
		}
	}
}

func TestDemoShowsItAllAndLeavesNothing(t *testing.T) {
	cmd, tmp := command(t)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"10.77.0.2:/data /mnt nfs4", "data /mnt 9p", "hello from guest 1\n", "and from guest 2\n",
		"guest2# (flock -n 9 && echo I have the lock) 9>>/mnt/lock\n   refused, exit code 1\n", "   I have the lock\n",
		"the appliance answers", "and met no error", "all 60 lines are there", "remove bridge fsva0",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q", want)
		}
	}
	if strings.Contains(string(out), "   guest 1 answers") {
		t.Error("guest 2 has reached guest 1")
	}
	nothingIsLeft(t, tmp)
}

// It is interrupted while guests are made, while the bridge is, and when machines
// run.
func TestDemoThatIsInterruptedLeavesNothing(t *testing.T) {
	for _, at := range []string{"1. Prepare", "2. Make a bridge", "Guest 1 mounts"} {
		t.Run(at, func(t *testing.T) {
			cmd, tmp := command(t)
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var said bytes.Buffer
			for b := make([]byte, 4096); !strings.Contains(said.String(), at); {
				n, err := stdout.Read(b)
				if err != nil {
					t.Fatalf("it ended before that: %v\n%s", cmd.Wait(), &said)
				}
				said.Write(b[:n])
			}
			if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(&said, stdout) // until it ends
			if err := cmd.Wait(); err == nil {
				t.Error("it ended as if all had been shown")
			}
			nothingIsLeft(t, tmp)
		})
	}
}
