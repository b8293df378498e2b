package guest_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/fsva/fsva/tests/guest"
)

// A fileSystem is one that is mounted on the appliance's machine and exported.
type fileSystem struct {
	name  string
	needs []string // programs
	// setup makes it, in a directory $AT of its own. servers are what it needs
	// to run besides.
	setup   string
	servers []string
	// mount mounts it at $DIR, until it is unmounted where it is a server in the
	// foreground.
	mount      string
	foreground bool
}

// disk makes a disk of a file.
const disk = "truncate -s 512M $AT/disk; "

var fileSystems = []fileSystem{
	{name: "ext4", needs: []string{"mkfs.ext4"}, setup: disk + "mkfs.ext4 -q $AT/disk", mount: "mount -o loop $AT/disk $DIR"},
	{name: "xfs", needs: []string{"mkfs.xfs", "xfs_io"}, setup: disk + "mkfs.xfs -q $AT/disk", mount: "mount -o loop $AT/disk $DIR"},
	{name: "btrfs", needs: []string{"mkfs.btrfs"}, setup: disk + "mkfs.btrfs -q $AT/disk", mount: "mount -o loop $AT/disk $DIR"},
	{name: "tmpfs", mount: "mount -t tmpfs none $DIR"},
	{name: "overlayfs", setup: overlay, mount: "mount -t overlay -o lowerdir=$AT/over/lower,upperdir=$AT/over/upper,workdir=$AT/over/work none $DIR"},
	{name: "overlayfs, nfs_export=on", setup: overlay, mount: "mount -t overlay -o index=on,nfs_export=on,lowerdir=$AT/over/lower,upperdir=$AT/over/upper,workdir=$AT/over/work none $DIR"},
	{
		name: "ntfs-3g", needs: []string{"mkfs.ntfs", "ntfs-3g"},
		setup: disk + "mkfs.ntfs -q -F -f $AT/disk 2>/dev/null", mount: "exec ntfs-3g -o permissions,no_detach $AT/disk $DIR",
		foreground: true,
	},
	moosefs,
}

const overlay = "mkdir $AT/over; mount -t tmpfs none $AT/over; mkdir $AT/over/lower $AT/over/upper $AT/over/work"

// moosefs is a cluster of a master and two storage servers.
var moosefs = fileSystem{
	name: "MooseFS", needs: []string{"mfsmaster", "mfschunkserver", "mfsmount"},
	setup: `mkdir $AT/master
		cp /var/lib/mfs/metadata.mfs.empty $AT/master/metadata.mfs
		printf '%s / rw,alldirs,maproot=0:0\n' ` + guest.ServerIP + ` >$AT/exports.cfg
		: >$AT/topology.cfg
		common="WORKING_USER=root\nWORKING_GROUP=root\nNICE_LEVEL=0\n"
		printf "${common}DATA_PATH=$AT/master\nEXPORTS_FILENAME=$AT/exports.cfg\nTOPOLOGY_FILENAME=$AT/topology.cfg\n" >$AT/master.cfg
		for n in 1 2; do
			mkdir $AT/server$n $AT/disk$n
			echo $AT/disk$n >$AT/disk$n.cfg
			printf "${common}DATA_PATH=$AT/server$n\nHDD_CONF_FILENAME=$AT/disk$n.cfg\nMASTER_HOST=` + guest.ServerIP + `\nCSSERV_LISTEN_PORT=952$n\nHDD_LEAVE_SPACE_DEFAULT=64MiB\n" >$AT/server$n.cfg
		done`,
	servers: []string{
		"exec mfsmaster -f -c $AT/master.cfg start",
		"exec mfschunkserver -f -c $AT/server1.cfg start",
		"exec mfschunkserver -f -c $AT/server2.cfg start",
	},
	mount: "until bash -c ': </dev/tcp/" + guest.ServerIP + "/9421' 2>/dev/null; do sleep 0.1; done\n" + // the master
		"exec mfsmount -f -H " + guest.ServerIP + " $DIR",
	foreground: true,
}

// A mounted file system.
type mounted struct {
	*fileSystem
	net     *guest.Network
	at, dir string
	// export is the name of the export, nfs and p9 where the guest has it.
	export, nfs, p9 string
}

// open makes a file system and mounts it for the length of a test.
func (fs *fileSystem) open(t *testing.T, n *guest.Network) *mounted {
	t.Helper()
	for _, program := range fs.needs {
		if _, err := exec.LookPath(program); err != nil {
			why := "needs " + program + ": make test installs it"
			if os.Getenv("FSVA_REQUIRE_GUESTS") == "1" {
				t.Fatal(why)
			}
			t.Skip(why)
		}
	}
	m := &mounted{fileSystem: fs, net: n, at: t.TempDir()}
	m.export = strings.ToLower(strings.NewReplacer(", ", "-", "=", "-").Replace(fs.name))
	m.run(t, fs.setup)
	for _, server := range fs.servers {
		n.Daemon(t, m.vars()+server)
	}
	m.dir, _ = guest.Dir(t, m.export)
	m.mount(t, m.dir)
	t.Cleanup(func() { n.Run(t, "! mountpoint -q "+m.at+"/over || umount "+m.at+"/over") })
	t.Cleanup(func() { m.unmount(t, m.dir) })
	m.run(t, "chmod 755 $DIR")
	return m
}

func (m *mounted) vars() string { return "DIR=" + m.dir + " AT=" + m.at + "\n" }

func (m *mounted) run(t *testing.T, script string) string {
	t.Helper()
	return m.net.Run(t, m.vars()+script)
}

func (m *mounted) mount(t *testing.T, dir string) {
	t.Helper()
	script := "DIR=" + dir + " AT=" + m.at + "\n" + m.fileSystem.mount
	if !m.foreground {
		m.net.Run(t, script)
		return
	}
	m.net.Daemon(t, script)
	m.net.Run(t, "timeout 60 sh -c 'until mountpoint -q "+dir+"; do sleep 0.1; done'")
}

func (m *mounted) unmount(t *testing.T, dir string) {
	t.Helper()
	m.net.Run(t, "umount "+dir+" || umount -l "+dir)
}

func (m *mounted) exported() string {
	return m.export + "=host:" + m.dir + ",squash=none,exclusive=off"
}

// abilities are what a guest tries over NFSv4.2, each in a directory of its own
// with $MNT the mount: a script that succeeds if the ability survives.
var abilities = []struct{ column, script string }{
	{"owners", "touch f && chown 12:34 f && test $(stat -c %u:%g f) = 12:34"},
	{"hard links", "echo 1 >f && ln f g && echo 2 >>g && test $(stat -c %h f) = 2 && test $(wc -l <f) = 2"},
	{"devices", "mkfifo p && mknod n c 1 3 && test -p p && test -c n"},
	{"xattrs", "touch f && setfattr -n user.x -v 1 f && test $(getfattr --only-values -n user.x f) = 1"},
	{"holes", "truncate -s 64M f && printf x | dd of=f bs=1M seek=32 conv=notrunc 2>/dev/null && sync f && test $(stat -c %b f) -lt 8192"},
	{"seek", "truncate -s 64M f && dd if=/dev/urandom of=f bs=1M count=1 seek=32 conv=notrunc 2>/dev/null && sync f && $SPARSE f | grep -qx 'data 33554432 1048576'"},
	{"punch", "dd if=/dev/urandom of=f bs=1M count=4 2>/dev/null && sync f && fallocate -p -o 512K -l 3M f && sync f && test $(stat -c %b f) -lt 4096 && cmp -n 3145728 -i 524288:0 f /dev/zero"},
	{"clone", "dd if=/dev/urandom of=f bs=1M count=1 2>/dev/null && cp --reflink=always f g && cmp f g"},
	{"copy", `dd if=/dev/urandom of=f bs=1M count=1 2>/dev/null && xfs_io -f -c 'copy_range -l 1m f' g && cmp f g
		awk -v mnt=$MNT '$1 == "device" { here = $5 == mnt } here && $1 == "COPY:" { done += $2 } END { exit !done }' /proc/self/mountstats`},
}

// columns are those of the table in docs/adapters/host.md, behind the name.
var columns = []string{
	"handles", "restart", "remount", "owners", "hard links", "devices", "xattrs", "holes", "seek", "punch", "clone", "copy", "locks", "ctime",
}

// TestFileSystemsKeepTheAbilitiesThatTheDocsSay mounts all file systems in one
// guest, over both protocols, and compares what it finds with the docs.
func TestFileSystemsKeepTheAbilitiesThatTheDocsSay(t *testing.T) {
	t.Parallel()
	n := guest.NewNetwork(t)
	var all []*mounted
	var exports []string
	for i := range fileSystems {
		m := fileSystems[i].open(t, n)
		all, exports = append(all, m), append(exports, m.exported())
	}
	srv := guest.StartAppliance(t, n, exports...)
	g := guest.Boot(t, n)
	found := map[*mounted]map[string]string{}
	for _, m := range all {
		m.nfs = g.Mount(t, srv, "vers=4.2", "/"+m.export, "/mnt/nfs/"+m.export)
		m.p9 = mount9P(t, g, srv, "cache=mmap", m.export, "/mnt/9p/"+m.export)
		found[m] = m.measure(t, g)
		if found[m]["handles"] = "kernel"; strings.Contains(srv.Log(), `"`+m.dir+`"`) {
			found[m]["handles"] = "table"
		}
	}
	for _, m := range all {
		for i, mnt := range []string{m.nfs, m.p9} {
			g.Run(t, fmt.Sprintf(treeOfWork, mnt, i))
		}
	}
	over(t, srv, g, all, found, "restart", func(*mounted) {})
	over(t, srv, g, all, found, "remount", func(m *mounted) {
		m.unmount(t, m.dir)
		m.mount(t, m.dir)
	})
	srv.Stop(t) // before what it serves is no longer there
	for _, m := range all {
		m.compare(t, found[m])
	}
}

// measure tries the abilities that need neither a restart nor a comparison.
func (m *mounted) measure(t *testing.T, g *guest.Guest) map[string]string {
	t.Helper()
	found := map[string]string{"ctime": strings.TrimSpace(m.run(t, guest.Program(t, "ctimes")+" $DIR/ctimes"))}
	for i, a := range abilities {
		out := g.Run(t, fmt.Sprintf("MNT=%s SPARSE=%s\nmkdir $MNT/%d && cd $MNT/%[3]d\n( set -e; %s ) 2>&1 && echo survives || echo does not",
			m.nfs, guest.Program(t, "sparse"), i, a.script))
		found[a.column] = "no"
		if strings.HasSuffix(out, "survives\n") {
			found[a.column] = "yes"
		} else {
			t.Logf("%s, %s: %s", m.name, a.column, out)
		}
	}
	locker := guest.Program(t, "locker")
	held := g.Start(t, "exec "+locker+" hold "+m.nfs+"/lock")
	held.WaitFor(t, "locked", moment)
	found["locks"] = "no"
	if m.run(t, locker+" try $DIR/lock") == "busy\n" {
		found["locks"] = "machine"
	}
	if m.name == moosefs.name {
		second := t.TempDir()
		m.mount(t, second)
		if m.run(t, locker+" try "+second+"/lock") == "busy\n" {
			found["locks"] = "cluster"
		}
		m.unmount(t, second)
	}
	held.Kill()
	return found
}

// hold goes, in a guest, into a directory and opens a file there, and waits
// until there is /run/$1. Then all must be where it was: a directory that has
// moved, a file that is open, and one that is not.
const hold = `cd $MNT && mkdir $1 && cd $1 && mkdir dir && echo inside >dir/file && cd dir && mv ../dir ../moved
	exec 3<>open && echo before >&3 && sync open && echo holding
	until [ -e /run/$1 ]; do sleep 0.1; done
	test "$(cat file)" = inside && echo after >>file && echo after >&3 && test $(wc -l <open) = 2 && echo survives || echo does not`

// over finds out what a guest has after the appliance was killed, something was
// done to each file system, and the appliance was started again.
func over(t *testing.T, srv *guest.Appliance, g *guest.Guest, all []*mounted, found map[*mounted]map[string]string, column string, do func(*mounted)) {
	t.Helper()
	var holding []*guest.Command
	for _, m := range all {
		c := g.Start(t, "MNT="+m.nfs+"; set -- "+column+"\n"+hold)
		c.WaitFor(t, "holding", moment)
		holding = append(holding, c)
	}
	srv.Kill9(t)
	for _, m := range all {
		do(m)
	}
	// What the kernel of the appliance remembers is no merit of a handle.
	all[0].run(t, "sync; echo 2 >/proc/sys/vm/drop_caches")
	srv.Restart(t)
	g.Run(t, "echo 3 >/proc/sys/vm/drop_caches; touch /run/"+column)
	for i, m := range all {
		out, err := holding[i].Result(t, recovery)
		found[m][column] = "no"
		if err == nil && strings.HasSuffix(out, "survives\n") {
			found[m][column] = "yes"
		} else {
			t.Logf("%s, %s: %s", m.name, column, out)
		}
	}
}

// compare compares what was found with the row of the docs.
func (m *mounted) compare(t *testing.T, found map[string]string) {
	t.Helper()
	docs, err := os.ReadFile("../../docs/adapters/host.md")
	if err != nil {
		t.Fatal(err)
	}
	start := "| " + m.name + " |"
	row := start
	for _, c := range columns {
		row += " " + found[c] + " |"
	}
	for line := range strings.Lines(string(docs)) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, start) {
			continue
		}
		if line != row && !(olderKernel(t, m.net) && strings.Replace(line, "every change |", "clock |", 1) == row) {
			t.Errorf("docs/adapters/host.md says\n%s\nand this is\n%s", line, row)
		}
		return
	}
	t.Errorf("docs/adapters/host.md has no row for\n%s", row)
}

// olderKernel: before Linux 6.13 change times are those of the clock's last
// tick.
func olderKernel(t *testing.T, n *guest.Network) bool {
	t.Helper()
	return n.Run(t, `printf '6.13\n%s\n' "$(uname -r)" | sort -V | head -n 1`) != "6.13\n"
}

// treeOfWork makes, changes, lists and removes a tree in a directory of the
// mount.
const treeOfWork = `cd %s && mkdir work%d && cd work%[2]d
	mkdir -p a/b/c
	for i in $(seq 12); do echo $i >a/b/file$i; done
	test $(cat a/b/file* | sort -n | tail -1) = 12
	mv a/b a/moved
	test $(ls a/moved | wc -l) = 13
	mv -f a/moved/file1 a/moved/file2
	test $(cat a/moved/file2) = 1
	ln -s a/moved link && test "$(readlink link)" = a/moved
	echo 1 >f && exec 3<>f && rm f && echo 2 >&3 && test "$(stat -L -c %%s /proc/self/fd/3)" = 2 && exec 3>&-
	tar -cf tree.tar a && mkdir copy && tar -C copy -xf tree.tar && diff -r a copy/a
	dd if=/dev/urandom of=big bs=1M count=1 2>/dev/null
	cp big big2 && cmp big big2 && sync big2
	rm -r a copy big link && test "$(ls | sort | tr '\n' ' ')" = "big2 tree.tar "
`

// Two appliances over one cluster, each with a mount of its own, as on two
// nodes. Data is another matter: two mounts of MooseFS that count in a file under
// a lock lose counts, without any appliance, since each caches what it reads.
func TestLocksOfTwoAppliancesOverOneClusterExcludeEachOther(t *testing.T) {
	t.Parallel()
	n := guest.NewNetwork(t)
	cluster := moosefs.open(t, n)
	second, _ := guest.Dir(t, "second")
	cluster.mount(t, second)
	t.Cleanup(func() { cluster.unmount(t, second) })
	const options = ",squash=none,exclusive=off"
	a := guest.StartAppliance(t, n, "fs=host:"+cluster.dir+options)
	b := guest.StartSecondAppliance(t, n, "--export", "fs=host:"+second+options)
	p := pair{srv: a, a: guest.Boot(t, n), b: guest.Boot(t, n), file: "/mnt/1/file"}
	p.a.Mount(t, a, "vers=4.2", "/fs", "/mnt/1")
	p.b.Mount(t, b, "vers=4.2", "/fs", "/mnt/1")

	for _, order := range []struct{ first, second *guest.Guest }{{p.a, p.b}, {p.b, p.a}} {
		held := p.hold(t, order.first)
		if got := p.try(t, order.second); got != "busy\n" {
			t.Fatalf("the guest of the other appliance finds the lock %q", got)
		}
		waiting := p.wait(t, order.second)
		held.Kill()
		waiting.WaitFor(t, "locked", 90*time.Second)
		if got := p.try(t, order.first); got != "busy\n" {
			t.Fatalf("the guest that released the lock finds it %q", got)
		}
		waiting.Kill()
	}
}
