package guest

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// MicroVMIP is the address that microVMs have by their command line, out of
// the way of guests.
const MicroVMIP = "10.77.0.201"

// MicroVM is the appliance in a machine of its own under QEMU, as make microvm
// or make image builds it.
type MicroVM struct {
	net     *Network
	limit   time.Duration // how long it may take to boot, or to go off
	console *transcript
	cmd     *exec.Cmd
	qmp     Machine
	exited  chan struct{}
}

// microVMDir is where make microvm puts it: FSVA_MICROVM, or in the checkout.
func microVMDir() string {
	if dir := os.Getenv("FSVA_MICROVM"); dir != "" {
		return dir
	}
	return "../../images/out/microvm"
}

// RequireMicroVM skips the test where microVMs cannot run, or fails it if
// FSVA_REQUIRE_QEMU=1.
func RequireMicroVM(t testing.TB) (kernel, initramfs string) {
	t.Helper()
	RequireQEMU(t)
	kernel, initramfs = filepath.Join(microVMDir(), "vmlinuz"), filepath.Join(microVMDir(), "initramfs.img")
	if _, err := os.Stat(initramfs); err != nil {
		if os.Getenv("FSVA_REQUIRE_QEMU") == "1" {
			t.Fatal(err)
		}
		t.Skip("there is no microVM: make microvm")
	}
	return kernel, initramfs
}

// BootMicroVM starts a microVM for the length of a test, with params on the
// kernel's command line and disks, which are files. It returns at once.
func BootMicroVM(t testing.TB, n *Network, kind, params string, disks ...string) *MicroVM {
	t.Helper()
	kernel, initramfs := RequireMicroVM(t)
	return bootImage(t, n, kind, kernel, initramfs, params, disks)
}

// BootShell starts the kernel of the microVM with nothing but a shell, which
// says "shell" when it is there.
func BootShell(t testing.TB, n *Network, kind string) *MicroVM {
	t.Helper()
	kernel, _ := RequireMicroVM(t)
	out := t.TempDir()
	cmd := exec.Command("/bin/sh", "-ec", `mkdir -p root/bin root/dev && cp "$BUSYBOX" root/bin/busybox && cd root
		printf '#!/bin/busybox sh\necho shell\nexec /bin/busybox sh\n' >init && chmod 755 init
		mknod dev/console c 5 1
		find . | "$BUSYBOX" cpio -o -H newc >../initrd 2>/dev/null`)
	cmd.Dir, cmd.Env = out, append(os.Environ(), "BUSYBOX="+filepath.Join(qemuDir(), "busybox"))
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make the root of a shell: %v\n%s", err, b)
	}
	return bootImage(t, n, kind, kernel, filepath.Join(out, "initrd"), "", nil)
}

func bootImage(t testing.TB, n *Network, kind, kernel, initrd, params string, disks []string) *MicroVM {
	t.Helper()
	m := Machine{Type: kind}
	driver := map[string]string{"q35": "virtio-blk-pci", "microvm": "virtio-blk-device"}[kind]
	for i, disk := range disks {
		m.Devices = append(m.Devices, "-drive", fmt.Sprintf("if=none,id=d%d,format=raw,file=%s", i, disk), "-device", fmt.Sprintf("%s,drive=d%d", driver, i))
	}
	m.Devices = append(m.Devices, "-kernel", kernel, "-initrd", initrd, "-append", kernelOptions+" "+params)
	return startMicroVM(t, n, m, bootLimit)
}

func startMicroVM(t testing.TB, n *Network, m Machine, limit time.Duration) *MicroVM {
	t.Helper()
	port, _, _ := n.plug(t)
	m.QMP = filepath.Join(t.TempDir(), "qmp")
	vm := &MicroVM{net: n, limit: limit, console: newTranscript(), qmp: m, exited: make(chan struct{})}
	vm.cmd = qemu(qemuDir(), m.arguments(port)...)
	vm.cmd.Stdout, vm.cmd.Stderr = vm.console, vm.console
	if err := n.start(vm.cmd); err != nil {
		t.Fatalf("start a microVM: %v", err)
	}
	go func() {
		_ = vm.cmd.Wait() // it ends by a kill of ours, or its console tells why
		close(vm.exited)
	}()
	t.Cleanup(func() {
		vm.Kill()
		if t.Failed() {
			t.Logf("console of the microVM:\n%s", vm.console)
		}
	})
	return vm
}

// WaitFor returns when the machine has printed text on its console.
func (vm *MicroVM) WaitFor(t testing.TB, text string) {
	t.Helper()
	limit := time.After(vm.limit)
	for {
		said, more := vm.console.contains(text)
		if said {
			return
		}
		select {
		case <-more:
		case <-vm.exited:
			t.Fatalf("the microVM ended before it said %q", text)
		case <-limit:
			t.Fatalf("the microVM did not say %q in %v", text, vm.limit)
		}
	}
}

// Kill ends the machine as a loss of power would.
func (vm *MicroVM) Kill() {
	_ = vm.cmd.Process.Kill() // it may have ended already
	<-vm.exited
}

// PressPower presses the power button, and returns when the machine is off.
func (vm *MicroVM) PressPower(t testing.TB) {
	t.Helper()
	vm.qmp.Monitor(t, "system_powerdown")
	select {
	case <-vm.exited:
	case <-time.After(vm.limit):
		t.Fatalf("the microVM did not go off in %v", vm.limit)
	}
}

// Health asks for the health of a microVM that has MicroVMIP until it gets an
// answer with that code, and returns what it says.
func (vm *MicroVM) Health(t testing.TB, code int) string {
	t.Helper()
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		Dial: func(_, addr string) (net.Conn, error) { return vm.net.dial(addr) }}}
	last := ""
	for end := time.Now().Add(vm.limit); time.Now().Before(end); {
		answer, err := client.Get("http://" + MicroVMIP + ":9049/healthz")
		if err != nil {
			last = err.Error()
			select {
			case <-vm.exited:
				t.Fatalf("the microVM ended before it was asked: %s", last)
			case <-time.After(100 * time.Millisecond): // until the machine has the address
			}
			continue
		}
		b, err := io.ReadAll(io.LimitReader(answer.Body, 1<<16))
		answer.Body.Close()
		if last = fmt.Sprint(answer.Status, ": ", strings.TrimSpace(string(b)), err); answer.StatusCode == code && err == nil {
			return string(b)
		}
	}
	t.Fatalf("no %d from the health address; the last try: %s", code, last)
	return ""
}

// ServeDHCP has the network give MicroVMIP to whoever asks, for the length of
// a test.
func ServeDHCP(t testing.TB, n *Network) {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "udhcpd")
	text := fmt.Sprintf("start %[1]s\nend %[1]s\ninterface br0\nlease_file %[2]s.leases\npidfile %[2]s.pid\nopt subnet 255.255.255.0\nopt router %[3]s\n", MicroVMIP, conf, ServerIP)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(qemuDir(), "busybox"), "udhcpd", "-f", conf)
	if err := n.start(cmd); err != nil {
		t.Fatalf("start a DHCP server: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // if it has ended, the microVM has no address
		_ = cmd.Wait()
	})
}
