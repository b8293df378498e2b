package rclone_test

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fsva/fsva/tests/guest"
)

// A guest works in a bucket over NFS and 9P, and the appliance is killed while
// nothing of it is uploaded. FSVA_APPLIANCE is a binary that has rclone.
func TestGuestWorksInABucketAndTheApplianceIsKilled(t *testing.T) {
	if os.Getenv("FSVA_APPLIANCE") == "" {
		t.Skip("FSVA_APPLIANCE names no appliance-full; make rclone builds it")
	}
	n := guest.NewNetwork(t)
	o := serveS3(t)
	o.serveIn(t, n)
	url := strings.Replace(o.export(""), o.url, "http://"+relayAt, 1)
	o.put(t, "from/outside", "outside\n")
	srv := guest.StartAppliance(t, n, "bucket="+strings.Replace(url, "writeback=1s", "writeback=4s", 1)+",squash=none")
	g := guest.Boot(t, n)
	g.Mount(t, srv, "vers=4.2", "/bucket", "/mnt/1")
	g.Run(t, `cd /mnt/1
		test "$(cat from/outside)" = outside
		mkdir dir && seq 100000 >dir/numbers && sync dir/numbers
		ln -s dir/numbers link
		mv dir/numbers dir/moved && exec 3<dir/moved && rm dir/moved
		seq 100000 | cmp - /proc/self/fd/3
		exec 3<&-
		seq 200000 >dir/kept && sync dir/kept`)
	srv.Crash(t)
	g.Run(t, `cd /mnt/1
		seq 200000 | cmp - dir/kept
		test "$(readlink link)" = dir/numbers
		fails cat dir/moved
		echo more >>dir/kept`)
	g.Run(t, `mkdir /mnt/9p && mount -t 9p -o trans=tcp,port=564,version=9p2000.L,aname=bucket `+srv.IP()+` /mnt/9p
		tail -n 1 /mnt/9p/dir/kept | grep -x more`)
	end := time.Now().Add(5 * time.Minute)
	for time.Now().Before(end) {
		if got, ok := o.get(t, "dir/kept"); ok && strings.HasSuffix(got, "200000\nmore\n") {
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
	t.Error("what the guest has written is not in the bucket")
}

// relayAt is where the bucket is in the network of the appliance.
const relayAt = "127.0.0.1:9000"

// serveIn serves the bucket in a network too, by way of a socket in a directory:
// only this binary, started there, can listen in it.
func (o *objects) serveIn(t testing.TB, n *guest.Network) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s3")
	l, err := net.Listen("unix", socket)
	check(t, err)
	srv := &http.Server{Handler: o.handler}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	self, err := os.Executable()
	check(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(n.Run(t, "RELAY_TO="+socket+" "+self+" >/dev/null 2>&1 & echo $!")))
	check(t, err)
	relay, err := os.FindProcess(pid)
	check(t, err)
	t.Cleanup(func() { _ = relay.Kill() })
	n.Run(t, "for i in $(seq 600); do bash -c ': </dev/tcp/127.0.0.1/9000' 2>/dev/null && exit; sleep 0.1; done; exit 1")
}

// relayTo passes connections on to a socket, for ever.
func relayTo(socket string) {
	l, err := net.Listen("tcp", relayAt)
	if err != nil {
		panic(err)
	}
	for {
		from, err := l.Accept()
		if err != nil {
			panic(err)
		}
		to, err := net.Dial("unix", socket)
		if err != nil {
			from.Close()
			continue
		}
		pass := func(dst, src net.Conn) {
			_, _ = io.Copy(dst, src)
			dst.Close()
			src.Close()
		}
		go pass(to, from)
		go pass(from, to)
	}
}
