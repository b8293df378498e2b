package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsva/fsva/tests/guest"
)

// local is what the guest's own disk is called among the servers.
const local = "local"

// choreLimit is how long a script of a chore may take.
const choreLimit = 10 * time.Minute

// A guestResult is one chore on one server's mount, or on the guest's disk.
type guestResult struct {
	Chore  string       `json:"chore"`
	Server string       `json:"server"`
	Rounds []guestRound `json:"rounds"`

	// Medians of the rounds.
	Time time.Duration `json:"time_ns"`
	CPU  time.Duration `json:"server_cpu_ns"`
}

// A guestRound is one measurement.
type guestRound struct {
	Time time.Duration `json:"time_ns"`
	CPU  time.Duration `json:"server_cpu_ns"`
}

// measureGuest boots one guest that mounts every server, and has it do each
// chore on each mount in turn.
func (rep *report) measureGuest(ctx context.Context, cfg config, servers []*server) error {
	var todo []chore
	for _, c := range chores {
		if !cfg.match.MatchString(c.name) {
			continue
		}
		if why := c.missing(); why != "" {
			fmt.Fprintf(os.Stderr, "%s: measuring without %s\n", why, c.name)
			continue
		}
		todo = append(todo, c)
	}
	if len(todo) == 0 {
		return nil
	}
	if why := guest.Missing(); why != "" {
		fmt.Fprintf(os.Stderr, "%s: measuring without guests\n", why)
		return nil
	}
	remove, err := guest.KeepPrograms()
	if err != nil {
		return err
	}
	defer remove()
	return onStage(func(t *stage) {
		m := bootMounts(t, ctx, servers)
		for _, c := range todo {
			rep.Guest = append(rep.Guest, m.measure(t, c, cfg.rounds)...)
		}
	})
}

// mounts is a guest with every server mounted, and a disk.
type mounts struct {
	g       *guest.Guest
	servers []*server // nil is the disk
	in      string    // what chores packed, in a directory of each
	goroot  string
}

func bootMounts(t *stage, ctx context.Context, servers []*server) *mounts {
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatalf("go env GOROOT: %v", err)
	}
	m := &mounts{servers: append(servers[:len(servers):len(servers)], nil), in: t.TempDir(), goroot: strings.TrimSpace(string(goroot))}
	progress("boot a guest")
	n := guest.AdoptNetwork(t)
	m.g = guest.Boot(t, n)
	stop := context.AfterFunc(ctx, m.g.Kill)
	t.Cleanup(func() { stop() })
	for _, s := range m.servers {
		m.g.Run(t, m.mountScript(t, n, s))
	}
	return m
}

// mountScript mounts a server, or makes a disk that is a file of the host,
// in the same file system as what the servers export.
func (m *mounts) mountScript(t *stage, n *guest.Network, s *server) string {
	if s != nil {
		_, port, err := net.SplitHostPort(s.addr)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("mkdir %[1]s && mount -t nfs4 -o vers=4.2,port=%s %s:/data %[1]s && mkdir %[4]s",
			mountPoint(s), port, guest.ServerIP, m.home(s))
	}
	host := filepath.Dir(m.servers[0].dir)
	image, err := os.CreateTemp(host, "fsva-bench-disk")
	if err != nil {
		t.Fatal(err)
	}
	image.Close()
	t.Cleanup(func() { os.Remove(image.Name()) })
	n.Run(t, "truncate -s 4G "+image.Name()+" && mkfs.ext4 -q "+image.Name())
	return fmt.Sprintf(`mkdir /mnt/host %[1]s
		mount -t hostfs -o %[2]s none /mnt/host
		modprobe -d /run/modules loop
		mount -o loop /mnt/host/%[3]s %[1]s
		mkdir %[4]s`, mountPoint(s), host, filepath.Base(image.Name()), m.home(s))
}

func serverName(s *server) string {
	if s == nil {
		return local
	}
	return s.name
}

func mountPoint(s *server) string { return "/mnt/" + serverName(s) }

// home is where chores work on s.
func (m *mounts) home(s *server) string {
	if s == nil {
		return mountPoint(s) + "/guest"
	}
	return filepath.Join(mountPoint(s), s.name, "guest")
}

// measure takes turns between the servers.
func (m *mounts) measure(t *stage, c chore, rounds int) []*guestResult {
	var rs []*guestResult
	progress(c.name, " is packed")
	c.packIn(t, m.input(c), m.goroot)
	for _, s := range m.servers {
		rs = append(rs, &guestResult{Chore: c.name, Server: serverName(s)})
		progress(c.name, " ", serverName(s), " prepares")
		m.g.Run(t, "mkdir "+filepath.Join(m.home(s), c.dir()))
		m.run(t, s, c, c.once)
	}
	for n := range rounds {
		for i, s := range m.servers {
			progress(c.name, " ", serverName(s))
			rs[i].Rounds = append(rs[i].Rounds, m.round(t, s, c, n))
		}
	}
	for i, s := range m.servers {
		progress(c.name, " ", serverName(s), " is checked")
		m.run(t, s, c, c.check)
		rs[i].Time = medianOf(rs[i].Rounds, func(r guestRound) time.Duration { return r.Time })
		rs[i].CPU = medianOf(rs[i].Rounds, func(r guestRound) time.Duration { return r.CPU })
	}
	progress()
	return rs
}

// round measures the chore once, with cold caches in the guest.
func (m *mounts) round(t *stage, s *server, c chore, n int) guestRound {
	number := fmt.Sprintf("ROUND=%d\n", n)
	m.run(t, s, c, number+c.reset)
	m.g.Run(t, "sync && echo 3 > /proc/sys/vm/drop_caches")
	before, start := m.cpu(t, s), time.Now()
	m.run(t, s, c, number+c.work)
	return guestRound{Time: time.Since(start), CPU: m.cpu(t, s) - before}
}

// run runs a script of the chore in its directory.
func (m *mounts) run(t *stage, s *server, c chore, script string) {
	head := fmt.Sprintf("IN=%s GOROOT=%s\ncd %s\n", m.input(c), m.goroot, filepath.Join(m.home(s), c.dir()))
	m.g.Start(t, head+script).Wait(t, choreLimit)
}

func (m *mounts) input(c chore) string { return filepath.Join(m.in, c.dir()) }

func (m *mounts) cpu(t *stage, s *server) time.Duration {
	if s == nil {
		return 0
	}
	d, err := s.cpu()
	if err != nil {
		t.Fatal(err)
	}
	return d
}
