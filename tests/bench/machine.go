package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/tests/guest"
)

// A door is a virtio device through which a machine gets at the exported
// directory.
type door struct {
	name   string
	fs     string   // what mount calls its file system
	qemu   []string // QEMU's arguments
	server *server  // whose processor time can be told from QEMU's
}

// An errand is what programs in a machine do on a mount: a row of the table. Its
// script runs where the directory is mounted.
type errand struct {
	name    string
	options string // of a mount of 9P
	work    string
}

// messages are as large as the device of Linux can have them.
const messages = "trans=virtio,version=9p2000.L,msize=512000"

var errands = []errand{
	{"read 64 MB", "cache=none", "dd if=big of=/dev/null bs=4M 2>/dev/null"},
	{"write 64 MB", "cache=none", "dd if=/dev/zero of=written.$DOOR bs=4M count=16 2>/dev/null"},
	{"walk the tree", "cache=none", "ls -lR repo >/run/list && test $(grep -c ^-.*file /run/list) = $FILES"},
	{"git status", "cache=mmap", gitStatus},
	{"git status, cached", "cache=loose", gitStatus},
}

// errandLimit is how long an errand may take: git status on 75,000 files takes
// QEMU's 9pfs more than ten minutes where the processor is emulated.
const errandLimit = 40 * time.Minute

const gitStatus = `test -z "$(git -c safe.directory='*' -C repo status --porcelain)"`

// measureMachine boots a machine that has a device for each door, and has it do
// each errand through each door in turn, mounted anew each time.
func (rep *report) measureMachine(ctx context.Context, cfg config, servers []*server) error {
	if why := guest.MissingQEMU(); why != "" {
		return fmt.Errorf("-machine: %s", why)
	}
	at := slices.IndexFunc(servers, func(s *server) bool { return s.name == "fsva" })
	if at < 0 {
		return fmt.Errorf("-machine: fsva is not among the servers")
	}
	git, err := exec.LookPath("git")
	if err != nil {
		return fmt.Errorf("-machine: %w", err)
	}
	remove, err := guest.KeepPrograms()
	if err != nil {
		return err
	}
	defer remove()
	return onStage(func(t *stage) {
		progress("make a tree of ", cfg.files, " files")
		if err := makeRepository(servers[at].dir, cfg.files); err != nil {
			t.Fatal(err)
		}
		doors := openDoors(t, servers[at])
		m := guest.Machine{Kernel: "6.12", Type: "q35", Memory: "1G", Programs: []string{git}}
		for _, d := range doors {
			m.Devices = append(m.Devices, d.qemu...)
		}
		progress("boot a machine")
		g := guest.BootMachine(t, guest.AdoptNetwork(t), m)
		stop := context.AfterFunc(ctx, g.Kill)
		t.Cleanup(func() { stop() })
		for _, errand := range errands {
			if cfg.match.MatchString(errand.name) {
				rep.Machine = append(rep.Machine, errand.measure(t, cfg, g, doors)...)
			}
		}
		progress()
	})
}

// openDoors has every door served.
func openDoors(t *stage, s *server) []door {
	return []door{
		{name: "fsva", fs: "9p", server: s, qemu: []string{
			"-chardev", "socket,id=fsva,path=" + virtioSocket(s.scratch),
			"-device", "vhost-user-test-device-pci,chardev=fsva,virtio-id=9,num_vqs=1,vq_size=128,config_size=256",
		}},
		{name: "qemu", fs: "9p", qemu: []string{
			"-fsdev", "local,id=qemu,security_model=passthrough,multidevs=remap,path=" + s.dir,
			"-device", "virtio-9p-pci,fsdev=qemu,mount_tag=qemu",
		}},
		{name: "virtiofsd", fs: "virtiofs", qemu: []string{
			"-chardev", "socket,id=virtiofsd,path=" + startVirtiofsd(t, s.dir),
			"-device", "vhost-user-fs-pci,chardev=virtiofsd,tag=virtiofsd",
		}},
	}
}

// startVirtiofsd returns the socket of a virtiofsd that exports dir.
func startVirtiofsd(t *stage, dir string) string {
	socket := filepath.Join(t.TempDir(), "virtiofsd")
	cmd := guest.Virtiofsd("--shared-dir", dir, "--socket-path", socket, "--sandbox", "none",
		"--inode-file-handles=prefer", // or it keeps a descriptor for each file that the guest knows
		"--log-level", "error")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatalf("virtiofsd: %v", err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for limit := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(socket); err == nil {
			return socket
		}
		if time.Now().After(limit) {
			t.Fatalf("virtiofsd does not make %s", socket)
		}
	}
}

// makeRepository makes a git repository of as many files in dir, 15 to a
// directory as in Linux.
func makeRepository(dir string, files int) error {
	repo := filepath.Join(dir, "repo")
	for i := range files {
		in := filepath.Join(repo, fmt.Sprint("part", i/1500), fmt.Sprint("dir", i/15))
		if i%15 == 0 {
			if err := os.MkdirAll(in, 0o755); err != nil {
				return err
			}
		}
		if err := os.WriteFile(filepath.Join(in, fmt.Sprint("file", i)), fmt.Appendln(nil, i), 0o644); err != nil {
			return err
		}
	}
	cmd := exec.Command("/bin/sh", "-ec", `cd "$1"
		git init -q .
		git add .
		git -c user.name=bench -c user.email=bench@localhost commit -q -m all
		sleep 1.1 # or git reads the files that are as new as its index
		git update-index -q --really-refresh`, "sh", repo)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make a git repository: %w\n%s", err, out)
	}
	return nil
}

// measure takes turns between the doors.
func (errand errand) measure(t *stage, cfg config, g *guest.Guest, doors []door) []*guestResult {
	var rs []*guestResult
	for _, d := range doors {
		rs = append(rs, &guestResult{Chore: errand.name, Server: d.name})
	}
	for range cfg.rounds {
		for i, d := range doors {
			progress(errand.name, " ", d.name)
			rs[i].Rounds = append(rs[i].Rounds, errand.round(t, cfg, g, d))
		}
	}
	for _, r := range rs {
		r.Time = medianOf(r.Rounds, func(r guestRound) time.Duration { return r.Time })
		r.CPU = medianOf(r.Rounds, func(r guestRound) time.Duration { return r.CPU })
	}
	return rs
}

// round does the errand once, on a new mount. What earlier rounds have written is
// on disk by then, so that this one does not wait for it.
func (errand errand) round(t *stage, cfg config, g *guest.Guest, d door) guestRound {
	unix.Sync()
	mount := "mount -t " + d.fs
	if d.fs == "9p" {
		mount += " -o " + messages + "," + errand.options
	}
	g.Run(t, fmt.Sprintf(`mkdir -p /mnt/%[2]s
		echo 3 >/proc/sys/vm/drop_caches
		%[1]s %[2]s /mnt/%[2]s`, mount, d.tag()))
	before, start := d.cpu(t), time.Now()
	g.Start(t, fmt.Sprintf("DOOR=%s FILES=%d\ncd /mnt/%s\n%s", d.name, cfg.files, d.tag(), errand.work)).Wait(t, errandLimit)
	r := guestRound{Time: time.Since(start), CPU: d.cpu(t) - before}
	g.Run(t, "umount /mnt/"+d.tag())
	return r
}

// tag is what the machine mounts.
func (d door) tag() string {
	if d.server != nil {
		return "data" // the name of the export
	}
	return d.name
}

func (d door) cpu(t *stage) time.Duration {
	if d.server == nil {
		return 0
	}
	used, err := d.server.cpu()
	if err != nil {
		t.Fatal(err)
	}
	return used
}
