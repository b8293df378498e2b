package rclone_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fsva/fsva/vfs"
)

// sshServer is Debian's sshd on a loopback port, for the user of the test.
type sshServer struct {
	dir, port string
}

func serveSSH(t *testing.T) *sshServer {
	t.Helper()
	const sshd = "/usr/sbin/sshd"
	if _, err := os.Stat(sshd); err != nil || os.Geteuid() != 0 {
		if os.Getenv("FSVA_REQUIRE_GUESTS") == "1" {
			t.Fatal("needs root and the package openssh-server")
		}
		t.Skip("needs root and the package openssh-server; make rclone installs it")
	}
	check(t, os.MkdirAll("/run/sshd", 0o755))
	s := &sshServer{dir: t.TempDir()}
	check(t, os.Chmod(s.dir, 0o700))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	_, s.port, _ = net.SplitHostPort(l.Addr().String())
	check(t, l.Close())
	for _, key := range []string{"host", "user"} {
		out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", s.path(key)).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	check(t, os.Rename(s.path("user.pub"), s.path("authorized")))
	public, err := os.ReadFile(s.path("host.pub"))
	check(t, err)
	check(t, os.WriteFile(s.path("known_hosts"), fmt.Appendf(nil, "[127.0.0.1]:%s %s", s.port, public), 0o600))
	check(t, os.WriteFile(s.path("other_hosts"), nil, 0o600))
	check(t, os.WriteFile(s.path("config"), []byte(strings.Join([]string{
		"ListenAddress 127.0.0.1:" + s.port, "HostKey " + s.path("host"), "AuthorizedKeysFile " + s.path("authorized"),
		"StrictModes no", "UsePAM no", "PidFile none", "PermitRootLogin yes", "PasswordAuthentication no", "Subsystem sftp internal-sftp", "MaxStartups 100",
	}, "\n")+"\n"), 0o600))
	log := new(journal)
	cmd := exec.Command(sshd, "-D", "-e", "-f", s.path("config"))
	cmd.Stderr = log
	check(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("sshd:\n%s", log)
		}
	})
	eventually(t, "sshd listens", func() bool { return log.count("Server listening") > 0 })
	return s
}

func (s *sshServer) path(name string) string { return filepath.Join(s.dir, name) }

// export is the URL of a directory.
func (s *sshServer) export(dir, hosts string) string {
	return "sftp://root@127.0.0.1:" + s.port + dir + "?writeback=1s&key=" + s.path("user") + "&known_hosts=" + s.path(hosts)
}

func TestContractOfSFTP(t *testing.T) {
	t.Parallel()
	s := serveSSH(t)
	// A directory of the server's, which goes when the server has: it may still
	// be at work when its client is gone.
	suite(func(t *testing.T) string {
		dir, err := os.MkdirTemp(s.dir, "contract")
		check(t, err)
		return s.export(dir, "known_hosts")
	}).Run(t)
}

func TestSFTPWritesFilesOfTheServer(t *testing.T) {
	t.Parallel()
	s := serveSSH(t)
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "there"), []byte("before"), 0o644))
	fs := newPlace(t, s.export(dir, "known_hosts")).started(t)
	if got := content(t, lookup(t, fs.Root(), "there")); got != "before" {
		t.Errorf("the file holds %q", got)
	}
	file(t, mkdir(t, fs.Root(), "dir"), "file", "content")
	eventually(t, "the server has the file", func() bool {
		b, _ := os.ReadFile(filepath.Join(dir, "dir/file"))
		return string(b) == "content"
	})
}

func TestSFTPServerThatIsNotKnownIsRefused(t *testing.T) {
	t.Parallel()
	s := serveSSH(t)
	for _, hosts := range []string{"other_hosts", "none"} {
		fs, err := newPlace(t, s.export(t.TempDir(), hosts)).tryOpen()
		if err == nil {
			fs.Close()
			t.Errorf("%s: a server that nobody knows is trusted", hosts)
		} else if !strings.Contains(err.Error(), "known") {
			t.Errorf("%s: the error does not say why: %v", hosts, err)
		}
	}
}

// A full disk of the cache is ENOSPC for who writes; what was written before is
// uploaded all the same.
func TestFullCacheDisk(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount a small disk")
	}
	o := serveS3(t)
	p := newPlace(t, strings.Replace(o.export(""), "writeback=1s", "writeback=2s", 1))
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=48M", "disk", p.dir).CombinedOutput(); err != nil {
		t.Skipf("cannot mount a tmpfs: %s", out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", p.dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %s", out)
		}
	})
	fs := p.started(t)
	_, f := create(t, fs.Root(), "fills", "")
	chunk := make([]byte, 1<<20)
	var err error
	written := 0
	for ; written < 48 && err == nil; written++ {
		_, _, err = f.WriteAt(ctx, chunk, int64(written)<<20, vfs.Unstable)
	}
	fails(t, err, vfs.ENOSPC)
	written--
	check(t, f.Sync(ctx, false))
	check(t, f.Close())
	eventually(t, "what could be written is uploaded", func() bool {
		got, _ := o.get(t, "fills")
		return len(got) == written<<20
	})
}
