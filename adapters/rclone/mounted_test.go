package rclone_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fsva/fsva/tests/guest"
)

// Each mount reads each object once.
const (
	mounted = 128 << 20 // bytes
	rounds  = 5
)

// BenchmarkStreamingReadMounted reads objects that are in nobody's cache: in a guest
// that has mounted the appliance, in the same guest through rclone serve nfs, and
// on the appliance's machine through rclone mount, with no guest in between. Each
// round has all of them, in turns first. It reports the median rates, and how many
// times as long as either the appliance takes. One iteration is all of that.
func BenchmarkStreamingReadMounted(b *testing.B) {
	if os.Getenv("FSVA_APPLIANCE") == "" {
		b.Skip("FSVA_APPLIANCE names no appliance-full; make rclone builds it")
	}
	n := guest.NewNetwork(b)
	o := serveS3(b)
	o.serveIn(b, n)
	content := strings.Repeat("0123456789abcdef", mounted>>4)
	for round := range rounds { // before anybody lists them
		o.put(b, object(round), content)
	}
	srv := guest.StartAppliance(b, n, "bucket="+strings.Replace(o.export(""), o.url, "http://"+relayAt, 1)+",squash=none")
	g := guest.Boot(b, n)
	g.Mount(b, srv, "vers=4.2", "/bucket", "/mnt/fsva")
	serveRclone(b, n, "serve nfs :s3:"+bucket+" --addr "+srv.IP()+":20490", "timeout 60 bash -c 'until : </dev/tcp/"+srv.IP()+"/20490; do sleep 0.1; done' 2>/dev/null")
	g.Run(b, "mkdir -p /mnt/rclone && mount -t nfs -o vers=3,proto=tcp,port=20490,mountport=20490,mountproto=tcp,nolock "+srv.IP()+":/ /mnt/rclone")
	here := b.TempDir()
	serveRclone(b, n, "mount :s3:"+bucket+" "+here, "for i in $(seq 600); do mountpoint -q "+here+" && exit; sleep 0.1; done; exit 1")

	readers := []struct {
		name string
		read func(script string) string
	}{
		{"fsva", func(s string) string { return g.Run(b, "cd /mnt/fsva\n"+s) }},
		{"rclone-serve-nfs", func(s string) string { return g.Run(b, "cd /mnt/rclone\n"+s) }},
		{"rclone-mount", func(s string) string { return n.Run(b, "cd "+here+"\n"+s) }},
	}
	took := make([][]time.Duration, len(readers))
	for round := range rounds {
		for i := range readers {
			i = (i + round) % len(readers)
			took[i] = append(took[i], timeOf(b, readers[i].read(fmt.Sprintf(
				`start=$(date +%%s%%N); dd if=%s of=/dev/null bs=1M 2>/dev/null; echo $(($(date +%%s%%N) - start))`, object(round)))))
		}
	}
	median := make([]float64, len(readers))
	for i, r := range readers {
		slices.Sort(took[i])
		median[i] = took[i][len(took[i])/2].Seconds()
		b.ReportMetric(mounted/1e6/median[i], r.name+"-MB/s")
	}
	b.ReportMetric(0, "ns/op") // of all, which is nobody's
	for i, r := range readers[1:] {
		b.ReportMetric(median[0]/median[i+1], "times-"+r.name)
	}
}

func object(round int) string { return fmt.Sprint("object.", round) }

func timeOf(b *testing.B, nanoseconds string) time.Duration {
	b.Helper()
	d, err := strconv.ParseInt(strings.TrimSpace(nanoseconds), 10, 64)
	check(b, err)
	return time.Duration(d)
}

// serveRclone has rclone serve the bucket in a network, with a cache of its own as
// the adapter has, and waits until ready ends.
func serveRclone(b *testing.B, n *guest.Network, command, ready string) {
	b.Helper()
	self, err := os.Executable()
	check(b, err)
	n.Daemon(b, fmt.Sprintf(`export AS_RCLONE=yes RCLONE_CONFIG=/dev/null RCLONE_VFS_CACHE_MODE=full RCLONE_CACHE_DIR=%s
		export RCLONE_S3_PROVIDER=Other RCLONE_S3_ENV_AUTH=true RCLONE_S3_REGION=eu-test-1 RCLONE_S3_ENDPOINT=http://%s
		exec %s %s`, b.TempDir(), relayAt, self, command))
	n.Run(b, ready)
}
