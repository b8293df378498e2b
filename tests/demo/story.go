package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// siteText is the host's file.
const siteText = `subnet: 10.77.0.0/24
qemu: qemu-system-x86_64
appliance:
  run: machine
  machine:
    kernel: %[1]s/vmlinuz
    initrd: %[1]s/initramfs.img
    append: fsva.lease=10s fsva.format=vda fsva.p9=tcp://0.0.0.0:564
    disk: data.img
guests:
  - name: guest1
    address: 10.77.0.11
    machine: {kernel: vmlinuz1, initrd: initrd1, memory: 256}
  - name: guest2
    address: 10.77.0.12
    p9: [data]
    machine: {kernel: vmlinuz2, initrd: initrd2, memory: 256}
`

// rounds is how many lines guest 1 writes while the appliance is killed.
const rounds = 60

// play is all of it, in order.
func (s *stage) play() error {
	began := time.Now()
	s.say("Prepare two guests with stock kernels, and a blank disk for the appliance")
	if err := s.prepare(); err != nil {
		return err
	}
	s.say("Make a bridge that leads nowhere else, a tap for each machine, and the firewall")
	if err := s.host("host", "up", "--config", s.site()); err != nil {
		return err
	}
	s.say("Start the appliance in a machine of its own, and the guests beside it")
	appliance, err := s.start("appliance", "appliance")
	if err != nil {
		return err
	}
	one, err := s.start("guest1", "guest", "guest1")
	if err != nil {
		return err
	}
	two, err := s.start("guest2", "guest", "guest2")
	if err != nil {
		return err
	}
	for _, act := range []func() error{
		func() error { return s.mount(one, two) },
		func() error { return s.share(one, two) },
		func() error { return s.lock(one, two) },
		func() error { return s.isolate(one, two) },
		func() error { return s.crash(appliance, one) },
		func() error { return s.takeDown(appliance, one, two) },
	} {
		if err := act(); err != nil {
			return err
		}
	}
	fmt.Printf("\nAll of it as it should be, in %d s.\n", int(time.Since(began).Seconds()))
	return nil
}

func (s *stage) prepare() error {
	cmd := exec.CommandContext(s.ctx, s.paths.guests, s.dir, s.paths.cache, s.paths.qemu)
	// What it has started ends with it: nothing writes where all is removed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", s.paths.guests, err, out)
	}
	if err := os.WriteFile(s.site(), fmt.Appendf(nil, siteText, s.paths.microvm), 0o600); err != nil {
		return err
	}
	disk, err := os.Create(filepath.Join(s.dir, "data.img"))
	if err != nil {
		return err
	}
	defer disk.Close()
	return disk.Truncate(256 << 20)
}

func (s *stage) mount(one, two *machine) error {
	s.say("Guest 1 mounts over NFSv4.2, with nothing but its own kernel")
	if err := s.login(one); err != nil {
		return err
	}
	if _, err := s.in(one, "uname -r; mount.nfs4 10.77.0.2:/data /mnt -o vers=4.2,port=2049 && grep ' /mnt ' /proc/mounts | cut -c1-60"); err != nil {
		return err
	}
	s.say("Guest 2 mounts the same by 9P over a virtio device, without a network")
	if err := s.login(two); err != nil {
		return err
	}
	_, err := s.in(two, "uname -r; mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000 data /mnt && grep ' /mnt ' /proc/mounts")
	return err
}

func (s *stage) share(one, two *machine) error {
	s.say("Guest 1 writes, guest 2 reads, and the other way round")
	if _, err := s.in(one, "echo hello from guest 1 >/mnt/letter"); err != nil {
		return err
	}
	if err := s.prints(two, "cat /mnt/letter && echo and from guest 2 >>/mnt/letter", "hello from guest 1\n"); err != nil {
		return err
	}
	return s.prints(one, "cat /mnt/letter", "hello from guest 1\nand from guest 2\n")
}

func (s *stage) lock(one, two *machine) error {
	s.say("A lock that guest 1 holds over NFS refuses guest 2 over 9P, until it is let go")
	if _, err := s.in(one, `sh -c 'flock -n 9 || exit; echo $$ >/run/holder; exec sleep 3600' 9>>/mnt/lock & until [ -s /run/holder ]; do sleep 0.1; done; echo I have the lock`); err != nil {
		return err
	}
	if err := s.refused(two, "(flock -n 9 && echo I have the lock) 9>>/mnt/lock"); err != nil {
		return err
	}
	if _, err := s.in(one, "kill $(cat /run/holder)"); err != nil {
		return err
	}
	// The holder's end takes a moment.
	_, err := s.in(two, "until (flock -n 9 && echo I have the lock) 9>>/mnt/lock; do sleep 0.1; done")
	return err
}

func (s *stage) isolate(one, two *machine) error {
	s.say("Guest 2 reaches the appliance's service, and guest 1 not at all")
	if _, err := s.in(one, "nc -ll -p 7777 -e /bin/true & until nc -w 5 10.77.0.11 7777 </dev/null; do sleep 0.1; done; echo guest 1 listens"); err != nil {
		return err
	}
	if _, err := s.in(two, "nc -w 5 10.77.0.2 2049 </dev/null && echo the appliance answers"); err != nil {
		return err
	}
	if err := s.refused(two, "nc -w 2 10.77.0.11 7777 </dev/null && echo guest 1 answers"); err != nil {
		return err
	}
	return s.refused(two, "ping -c 2 -W 1 10.77.0.11 >/dev/null && echo guest 1 answers")
}

func (s *stage) crash(appliance, one *machine) error {
	s.say("The appliance's machine is killed while guest 1 writes; host run starts it again")
	write := fmt.Sprintf(`(for i in $(seq %d); do echo line $i >>/mnt/log && sync /mnt/log || exit 1; echo $i >/run/round; sleep 0.1; done; echo finished >/run/writer) >/run/errors 2>&1 &`, rounds)
	if _, err := s.in(one, write); err != nil {
		return err
	}
	if err := s.until(one, func() (bool, error) {
		out, _, err := s.shell(one, "cat /run/round 2>/dev/null")
		n, _ := strconv.Atoi(strings.TrimSpace(out)) // 0 before the first
		return n >= rounds/4, err
	}); err != nil {
		return err
	}
	tell("host# kill -9 " + strconv.Itoa(appliance.pid))
	if err := syscall.Kill(appliance.pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill the appliance's machine: %w", err)
	}
	killed := time.Now()
	if err := s.prints(one, "[ ! -e /run/writer ] && echo still writing", "still writing\n"); err != nil {
		return err
	}
	if _, err := s.awaitReady(appliance); err != nil {
		return err
	}
	if err := s.until(one, func() (bool, error) {
		out, _, err := s.shell(one, "cat /run/errors; [ ! -e /run/writer ] || echo finished")
		if err == nil && out != "" && out != "finished\n" {
			err = fmt.Errorf("guest 1 meets an error: %s", out)
		}
		return out == "finished\n", err
	}); err != nil {
		return err
	}
	tell(fmt.Sprintf("guest 1 has finished %d s after the kill, and met no error", int(time.Since(killed).Seconds())))
	_, err := s.in(one, fmt.Sprintf("for i in $(seq %d); do echo line $i; done | cmp - /mnt/log && echo all %d lines are there", rounds, rounds))
	if err == nil {
		tell("(9P has no way to come back: guest 2 would have to be reset, and mount again.)")
	}
	return err
}

func (s *stage) takeDown(appliance, one, two *machine) error {
	s.say("Turn everything off, and take the bridge down")
	for _, g := range []*machine{one, two} {
		tell(g.name + "# poweroff -f")
		if _, err := g.console.Write([]byte("poweroff -f\n")); err != nil {
			return err
		}
		if err := s.end(g); err != nil {
			return err
		}
	}
	tell("host# kill -TERM of host run appliance: its power button is pressed")
	if err := appliance.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := s.end(appliance); err != nil {
		return err
	}
	b, err := os.ReadFile(appliance.stderr)
	if err != nil {
		return err
	}
	if strings.Contains(string(b), "does not turn itself off") {
		return errors.New("the appliance did not turn itself off")
	}
	if err := s.host("host", "down", "--config", s.site()); err != nil {
		return err
	}
	left, err := net.Interfaces()
	if err == nil && len(left) != 1 {
		err = fmt.Errorf("interfaces are left: %v", left)
	}
	return err
}
