package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// writeSite makes a file that describes a bridge, in a directory with the
// files that are named.
func writeSite(t *testing.T, text string, files map[string][]byte) (path string) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path = filepath.Join(dir, "host.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const machines = `
subnet: 10.77.0.0/24
qemu: QEMU
appliance: {run: machine, machine: {kernel: vmlinuz, disk: disk}}
guests:
  - {name: web1, p9: [data], machine: {kernel: vmlinuz}}
  - {name: web2, machine: {kernel: missing}}
  - {name: web3}
  - {name: web4, external: true}
`

func TestHostRunRefusesBeforeAnythingChanges(t *testing.T) {
	ext4 := make([]byte, 1<<20)
	copy(ext4[1024+0x38:], "\x53\xef")
	copy(ext4[1024+0x78:], "precious")
	path := writeSite(t, strings.Replace(machines, "QEMU", fakeQEMU(t, "8.2.2"), 1), map[string][]byte{"vmlinuz": nil, "disk": ext4})
	for _, c := range []struct{ verb, want string }{
		{"guest web9", `host.yaml: there is no guest "web9"; there are: web1, web2, web3, web4`},
		{"guest web1", "machine web1: QEMU 8.2.2 at "},
		{"guest web1", "has no vhost-user device for 9P; 10.2 or newer is needed"},
		{"guest web2", "machine web2: kernel: stat "},
		{"guest web3", "guest web3: nothing is said of its machine"},
		{"guest web4", "guest web4 is external"},
		{"appliance", `/disk holds ext4 labelled "precious", and not a file system labelled fsva-data; it is left alone`},
	} {
		args := append([]string{"host", "run"}, strings.Fields(c.verb)...)
		checkRefused(t, exitFailure, []string{c.want}, append(args, "--config", path)...)
	}
	if after, err := os.ReadFile(filepath.Join(filepath.Dir(path), "disk")); err != nil || string(after) != string(ext4) {
		t.Errorf("the disk was written to: %v", err)
	}
}

func TestHostRunRefusesWhatTheApplianceCannotUse(t *testing.T) {
	const process = "subnet: 10.77.0.0/24\n"
	checkRefused(t, exitFailure, []string{"the appliance is a process of this host"}, "host", "run", "appliance", "--config", writeSite(t, process, nil))
	checkRefused(t, exitFailure, []string{"appliance: nothing is said of the machine"}, "host", "run", "appliance", "--config",
		writeSite(t, process+"appliance: {run: machine}\n", nil))
	path := writeSite(t, machines, map[string][]byte{"vmlinuz": nil, "disk": make([]byte, 1<<20)})
	checkRefused(t, exitFailure, []string{"is blank; to have it formatted, append fsva.format=vda"}, "host", "run", "appliance", "--config", path)
}

// Without host up there is no tap, and nothing runs on another.
func TestHostRunAsksForTheBridge(t *testing.T) {
	path := writeSite(t, "bridge: fsva-none\nsubnet: 10.77.0.0/24\nqemu: "+fakeQEMU(t, "8.2.2")+"\nguests: [{name: web1, tap: tap-fsva-none, machine: {kernel: k}}]\n", map[string][]byte{"k": nil})
	checkRefused(t, exitFailure, []string{"tap-fsva-none is missing; run appliance host up --config " + path + " first"}, "host", "run", "guest", "web1", "--config", path)
}

func TestHostRunNamesTheWrongFlag(t *testing.T) {
	for _, c := range []struct {
		want string
		args []string
	}{
		{"name a guest of the file", []string{"guest"}},
		{`unexpected argument "b"`, []string{"guest", "a", "b"}},
		{`unexpected argument "a"`, []string{"appliance", "a"}},
		{`--restart: "always" is neither`, []string{"appliance", "--restart", "always"}},
		{"--power-off: -1s is negative", []string{"appliance", "--power-off", "-1s"}},
		{`unknown command "gest"`, []string{"gest"}},
	} {
		checkRefused(t, exitUsage, []string{c.want}, append([]string{"host", "run"}, c.args...)...)
	}
}

func TestHostAttachPrintsFragmentAndRelay(t *testing.T) {
	path := writeSite(t, machines, nil)
	cmd := exec.Command(binary, "host", "attach", "web1", "--for", "qemu", "--config", path)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	const socket = "/run/fsva/machines/fsva0/web1.p9-0"
	if !strings.Contains(string(out), "path="+socket+" ") || !strings.Contains(string(out), "ifname=tap-web1") {
		t.Errorf("fragment: %s", out)
	}
	if want := "appliance host virtio9p --socket " + socket + " --export data --to tcp://10.77.0.2:564\n"; !strings.HasSuffix(stderr.String(), want) {
		t.Errorf("no %q in %q", want, &stderr)
	}
	code, json, _ := command(t, "host", "attach", "web4", "--for", "xl", "--backend", "nas", "-o", "json", "--config", path)
	if code != 0 || !strings.Contains(json, `"for": "xl"`) || !strings.Contains(json, "vifname=tap-web4") {
		t.Errorf("JSON: %d %s", code, json)
	}
}

func TestHostAttachNamesWhatIsWrong(t *testing.T) {
	path := writeSite(t, machines, nil)
	checkRefused(t, exitUsage, []string{`--for: "" is none of qemu, libvirt, xl, firecracker`}, "host", "attach", "web1", "--config", path)
	checkRefused(t, exitUsage, []string{"--backend: "}, "host", "attach", "web4", "--for", "xl", "--backend", "a,b", "--config", path)
	checkRefused(t, exitUsage, []string{"-o yaml is no format"}, "host", "attach", "web1", "--for", "qemu", "-o", "yaml", "--config", path)
	checkRefused(t, exitFailure, []string{`there is no guest "web9"`}, "host", "attach", "web9", "--for", "qemu", "--config", path)
	checkRefused(t, exitFailure, []string{"guest web1: Firecracker has no 9P device for data"}, "host", "attach", "web1", "--for", "firecracker", "--config", path)
}
