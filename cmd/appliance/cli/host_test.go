package cli

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fsva/fsva/hostbridge/qemu"
)

// startRelay runs host virtio9p and returns what it printed when it is ready.
func startRelay(t *testing.T, args ...string) (*exec.Cmd, string) {
	t.Helper()
	cmd := exec.Command(binary, append([]string{"host", "virtio9p"}, args...)...)
	log := newLines()
	cmd.Stderr = log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
	var said strings.Builder
	for in := bufio.NewScanner(stdout); in.Scan(); {
		said.WriteString(in.Text() + "\n")
		if strings.HasPrefix(in.Text(), "ready") {
			return cmd, said.String()
		}
	}
	t.Fatalf("ended before it was ready: %s", log)
	return nil, ""
}

func TestHostVirtio9PSaysHowToStartQEMUAndEndsBySignal(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "vm1")
	cmd, said := startRelay(t, "--socket", socket, "--export", "data", "--to", "vsock://3:9999")
	for _, want := range []string{
		"-chardev socket,id=c,path=" + socket + " -device vhost-user-test-device-pci,chardev=c,virtio-id=9,num_vqs=1,vq_size=128,config_size=256\n",
		"mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000 data /mnt\n",
		"ready virtio9p=" + socket + " to=vsock://3:9999\n",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("no %q in %q", want, said)
		}
	}
	nc, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(socket); !os.IsNotExist(err) {
		t.Errorf("the socket is left: %v", err)
	}
}

func TestHostVirtio9PConnectsToTheMonitor(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "vm1")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cmd, said := startRelay(t, "--socket", socket, "--tag", "data", "--to", "tcp://127.0.0.1:564", "--connect")
	if !strings.Contains(said, "path="+socket+",server=on,wait=on ") {
		t.Error(said)
	}
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func TestHostVirtio9PNamesTheWrongFlag(t *testing.T) {
	for _, c := range []struct {
		want string
		args []string
	}{
		{"--socket: give the path", nil},
		{"--socket: ", []string{"--socket", "/run/a,b"}},
		{"--to: give the address", []string{"--socket", "/run/x"}},
		{"--to: virtio:///x: known are tcp, unix and vsock", []string{"--socket", "/run/x", "--to", "virtio:///x"}},
		{"--tag: give what the guest is to mount", []string{"--socket", "/run/x", "--to", "vsock://3:1"}},
		{"--tag: give", []string{"--socket", "/run/x", "--to", "vsock://3:1", "--tag", strings.Repeat("x", 255)}},
		{"--export: export name", []string{"--socket", "/run/x", "--to", "vsock://3:1", "--export", "a/b"}},
		{`--log-level: "loud"`, []string{"--socket", "/run/x", "--to", "vsock://3:1", "--tag", "x", "--log-level", "loud"}},
		{`unexpected argument "now"`, []string{"now"}},
	} {
		checkRefused(t, exitUsage, []string{c.want}, append([]string{"host", "virtio9p"}, c.args...)...)
	}
	checkRefused(t, exitUsage, []string{`unknown command "virtio"`}, "host", "virtio")
}

// fakeQEMU is a program that tells of itself what QEMU does.
func fakeQEMU(t *testing.T, version string, devices ...string) (path string) {
	t.Helper()
	script := "#!/bin/sh\ncase $1 in\n--version) echo 'QEMU emulator version " + version + "' ;;\n-device)\n"
	for _, d := range devices {
		script += "[ $2 = " + d + ",help ] && exit\n"
	}
	path = filepath.Join(t.TempDir(), "qemu")
	if err := os.WriteFile(path, []byte(script+"exit 1 ;;\n*) exit 1 ;;\nesac\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestQEMUThatIsTooOldIsNamed(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "vm1")
	args := []string{"host", "virtio9p", "--socket", socket, "--tag", "data", "--to", "vsock://3:9999", "--qemu"}
	old := fakeQEMU(t, "8.2.2 (Debian 1:8.2.2+ds-0ubuntu1)", "vhost-user-fs-pci", "vhost-user-blk-pci")
	checkRefused(t, exitFailure, []string{"QEMU 8.2.2 at " + old + " has no vhost-user device for 9P; 10.2 or newer is needed"}, append(args, old)...)
	if _, err := os.Stat(socket); !os.IsNotExist(err) {
		t.Errorf("there is a socket: %v", err)
	}
	checkRefused(t, exitFailure, []string{"--qemu: " + socket}, append(args, socket)...)
	checkRefused(t, exitFailure, []string{"--qemu: /bin/false"}, append(args, "/bin/false")...)
}

func TestQEMUsDeviceIsCalledAsThatQEMUCallsIt(t *testing.T) {
	for _, device := range qemu.P9Models {
		path := fakeQEMU(t, "10.2.0", "vhost-user-fs-pci", device)
		if got, err := qemu.FindP9(t.Context(), path); err != nil || got != device {
			t.Errorf("%s: %q, %v", device, got, err)
		}
	}
}

// TestRealQEMUHasTheDevice asks the QEMU that make qemu has made.
func TestRealQEMUHasTheDevice(t *testing.T) {
	dir := os.Getenv("FSVA_QEMU")
	if dir == "" {
		t.Skip("FSVA_QEMU does not say where make qemu has put QEMU")
	}
	root := filepath.Join(dir, "qemu", "usr")
	lib := filepath.Join(root, "lib", "x86_64-linux-gnu")
	path := filepath.Join(t.TempDir(), "qemu")
	script := "#!/bin/sh\nQEMU_MODULE_DIR=" + lib + "/qemu exec " + root + "/lib64/ld-linux-x86-64.so.2 --library-path " + lib + " " + root + "/bin/qemu-system-x86_64 \"$@\"\n"
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if got, err := qemu.FindP9(t.Context(), path); err != nil || got != "vhost-user-test-device-pci" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestHostUpRefusesAWrongFileByLineAndKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "host.yaml")
	if err := os.WriteFile(path, []byte("subnet: 10.77.0.0/24\nguest: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"up", "down", "plan", "status"} {
		out, err := exec.Command(binary, "host", verb, "--config", path).CombinedOutput()
		want := "appliance: host: " + verb + ": " + path + `:2: unknown key "guest"; did you mean "guests"?`
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%v: %s, without %s", err, out, want)
		}
	}
}

func TestHostDownWithoutTheFileSaysWhatToDo(t *testing.T) {
	for want, args := range map[string][]string{
		"no bridge that host up has made is on this host":             {"--config", filepath.Join(t.TempDir(), "host.yaml")},
		"interface lo is there and was not made by appliance host up": {"--bridge", "lo"},
	} {
		cmd := exec.Command(binary, append([]string{"host", "down"}, args...)...)
		if os.Geteuid() == 0 { // the bridges of this machine are none of the test's business
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
		} else {
			want = "needs root"
		}
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%v: %s, without %s", err, out, want)
		}
	}
}
