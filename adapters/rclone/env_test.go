package rclone_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"
	"github.com/rs/zerolog"

	_ "github.com/rclone/rclone/backend/local"
	_ "github.com/rclone/rclone/backend/s3"
	_ "github.com/rclone/rclone/backend/sftp"
	"github.com/rclone/rclone/cmd"
	_ "github.com/rclone/rclone/cmd/mount"
	_ "github.com/rclone/rclone/cmd/serve/nfs"

	"github.com/fsva/fsva/adapters"
	_ "github.com/fsva/fsva/adapters/rclone"
	"github.com/fsva/fsva/tests/guest"
	"github.com/fsva/fsva/vfs"
)

var ctx = context.Background()

const (
	accessKey = "AKIAFORTESTS"
	secretKey = "not-for-any-log-0123456789"
	bucket    = "bucket"
)

// TestMain gives the credentials as an operator does.
func TestMain(m *testing.M) {
	if to := os.Getenv("RELAY_TO"); to != "" {
		relayTo(to)
	}
	if os.Getenv("AS_RCLONE") != "" {
		cmd.Main() // this binary is rclone, of the version that the adapter has
		return
	}
	os.Setenv("AWS_ACCESS_KEY_ID", accessKey)
	os.Setenv("AWS_SECRET_ACCESS_KEY", secretKey)
	os.Exit(guest.Main(m))
}

// objects is an S3 server with one bucket.
type objects struct {
	*s3mem.Backend
	url     string
	handler http.Handler
	// broken says how requests fail: 0 not at all, a status, or silent.
	broken   atomic.Int32
	requests atomic.Int32
	fixed    chan struct{} // closed when those that got no answer get one
}

// silent has a request wait until the server is repaired.
const silent = -1

func (o *objects) repair() {
	o.broken.Store(0)
	close(o.fixed)
}

func serveS3(t testing.TB) *objects {
	t.Helper()
	o := &objects{Backend: s3mem.New(), fixed: make(chan struct{})}
	check(t, o.CreateBucket(ctx, bucket))
	faker := gofakes3.New(o.Backend, gofakes3.WithV4Auth(map[string]string{accessKey: secretKey}), gofakes3.WithoutVersioning())
	handler := faker.Server()
	o.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.requests.Add(1)
		switch status := o.broken.Load(); status {
		case 0:
			handler.ServeHTTP(w, r)
		case silent:
			select {
			case <-o.fixed:
				handler.ServeHTTP(w, r)
			case <-r.Context().Done():
			}
		default:
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(int(status))
			fmt.Fprintf(w, "<Error><Code>ExpiredToken</Code><Message>%s has expired</Message></Error>", secretKey)
		}
	})
	srv := httptest.NewServer(o.handler)
	o.url = srv.URL
	t.Cleanup(func() {
		if o.broken.Load() != 0 {
			o.repair()
		}
		srv.Close()
	})
	return o
}

// export is the URL of the bucket.
func (o *objects) export(keys string) string {
	return "s3://" + bucket + "?endpoint=" + o.url + "&region=eu-test-1&writeback=1s" + keys
}

// put makes an object past the appliance.
func (o *objects) put(t testing.TB, key, content string) {
	t.Helper()
	_, err := o.PutObject(ctx, bucket, key, map[string]string{}, strings.NewReader(content), int64(len(content)))
	check(t, err)
}

// get returns an object, and whether there is one.
func (o *objects) get(t testing.TB, key string) (string, bool) {
	t.Helper()
	obj, err := o.GetObject(ctx, bucket, key, nil)
	if err != nil {
		if gofakes3.HasErrorCode(err, gofakes3.ErrNoSuchKey) {
			return "", false
		}
		t.Fatal(err)
	}
	defer obj.Contents.Close()
	b, err := io.ReadAll(obj.Contents)
	check(t, err)
	return string(b), true
}

// eventually waits for what happens in the background.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if is() {
			return
		}
	}
	t.Fatalf("not in five minutes: %s", what)
}

// journal is a log that tests read.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.String()
}

func (j *journal) count(text string) int { return strings.Count(j.String(), text) }

// place is where a file system keeps what survives it.
type place struct {
	url string
	dir string
	log *journal
}

func newPlace(t testing.TB, url string) place {
	return place{url, t.TempDir(), new(journal)}
}

func (p place) tryOpen() (vfs.FS, error) {
	return adapters.Open(ctx, p.url, adapters.Env{Log: zerolog.New(p.log), Exclusive: true, Dir: p.dir})
}

// open opens the file system for the length of the test.
func (p place) open(t testing.TB) vfs.FS {
	t.Helper()
	fs, err := p.tryOpen()
	if err != nil {
		t.Fatalf("%v\n%s", err, p.log)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log:\n%s", p.log)
		}
	})
	return fs
}

func (p place) started(t testing.TB) vfs.FS {
	t.Helper()
	fs := p.open(t)
	t.Cleanup(func() { check(t, fs.Close()) })
	return fs
}

// killed is a place as a kill -9 at this moment leaves it.
func (p place) killed(t testing.TB) place {
	t.Helper()
	left := newPlace(t, p.url)
	check(t, copyTree(p.dir, left.dir))
	return left
}

// copyTree copies a directory with its hard links.
func copyTree(from, to string) error {
	copied := map[uint64]string{}
	return filepath.Walk(from, func(path string, fi os.FileInfo, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil // removed meanwhile
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		dst := filepath.Join(to, rel)
		if fi.IsDir() {
			return os.MkdirAll(dst, 0o700)
		}
		if first := copied[inode(fi)]; first != "" {
			return os.Link(first, dst)
		}
		copied[inode(fi)] = dst
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(dst, b, 0o600)
	})
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func fails(t testing.TB, err error, want vfs.Errno) {
	t.Helper()
	if got := vfs.ErrnoOf(err); got != want {
		t.Errorf("got %v, want %v", err, want)
	}
}

func create(t testing.TB, dir vfs.Node, name, content string) (vfs.Node, vfs.File) {
	t.Helper()
	n, f, _, err := dir.Create(ctx, vfs.Root, name, &vfs.SetAttr{Set: vfs.SetMode, Mode: 0o644}, vfs.OpenRead|vfs.OpenWrite)
	check(t, err)
	write(t, f, 0, content)
	return n, f
}

// file makes a file and closes it.
func file(t testing.TB, dir vfs.Node, name, content string) vfs.Node {
	t.Helper()
	n, f := create(t, dir, name, content)
	check(t, f.Close())
	return n
}

func write(t testing.TB, f vfs.File, off int64, content string) {
	t.Helper()
	_, _, err := f.WriteAt(ctx, []byte(content), off, vfs.Unstable)
	check(t, err)
}

func mkdir(t testing.TB, dir vfs.Node, name string) vfs.Node {
	t.Helper()
	n, _, err := dir.Mkdir(ctx, vfs.Root, name, &vfs.SetAttr{Set: vfs.SetMode, Mode: 0o755})
	check(t, err)
	return n
}

func lookup(t testing.TB, dir vfs.Node, name string) vfs.Node {
	t.Helper()
	n, err := dir.Lookup(ctx, vfs.Root, name)
	if err != nil {
		t.Fatalf("look up %q: %v", name, err)
	}
	return n
}

func open(t testing.TB, n vfs.Node, how vfs.OpenFlags) vfs.File {
	t.Helper()
	f, err := n.Open(ctx, vfs.Root, how)
	check(t, err)
	return f
}

func content(t testing.TB, n vfs.Node) string {
	t.Helper()
	got, err := tryContent(t, n)
	check(t, err)
	return got
}

func tryContent(t testing.TB, n vfs.Node) (string, error) {
	t.Helper()
	f := open(t, n, vfs.OpenRead)
	defer f.Close()
	p := make([]byte, 64<<10)
	got, err := f.ReadAt(ctx, p, 0)
	return string(p[:got]), err
}

func names(t testing.TB, dir vfs.Node) (names []string) {
	t.Helper()
	_, err := dir.ReadDir(ctx, vfs.Root, 0, 0, func(d *vfs.DirEntry) bool {
		names = append(names, d.Name)
		return true
	})
	check(t, err)
	return names
}

// walkFiles calls f with the files below dir.
func walkFiles(dir string, f func(path string)) error {
	return filepath.Walk(dir, func(path string, fi os.FileInfo, err error) error {
		if err == nil && fi.Mode().IsRegular() {
			f(path)
		}
		return err
	})
}
