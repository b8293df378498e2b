package p9fs_test

import (
	"net"
	"testing"

	"github.com/hugelgupf/p9/p9"

	"github.com/fsva/fsva/adapters/mem"
	p9fs "github.com/fsva/fsva/adapters/p9"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/vfstest"
)

// remote is a file system behind a client of the library's.
type remote struct{ *p9.Client }

func (r remote) Attach() (p9.File, error) { return r.Client.Attach("") }

// serve offers a file system through the library's server and returns a client
// of it.
func serve(t *testing.T, fs vfs.FS) remote {
	t.Helper()
	here, there := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		p9.NewServer(p9fs.Attacher(fs, p9fs.AttachOptions{})).Handle(there, there)
	}()
	t.Cleanup(func() {
		here.Close()
		<-done
	})
	client, err := p9.NewClient(here)
	if err != nil {
		t.Fatal(err)
	}
	return remote{client}
}

func TestContractOverTheLibrarysServerAndClient(t *testing.T) {
	vfstest.Suite{
		Entries: 2_000,
		Open: func(t *testing.T) vfs.FS {
			inner := mem.New(mem.Options{})
			t.Cleanup(func() { inner.Close() })
			return open(t, serve(t, inner), p9fs.Options{NoXattrs: true})
		},
		Limits: map[string]string{
			"create/in a set-gid directory takes its group":                     "the library drops set-id bits from messages",
			"attributes/mode is set":                                            "the library drops set-id bits from messages",
			"unlinked/files that are open go on":                                "the library's server refuses to change a file whose name was removed",
			"unlinked/files are found and opened by handle while they are open": "the library's server refuses to open a file whose name was removed",
		},
	}.Run(t)
}
