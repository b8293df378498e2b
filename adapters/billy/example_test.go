package billy_test

import (
	"context"
	"fmt"
	"net"

	gobilly "github.com/go-git/go-billy/v5"
	"github.com/hugelgupf/p9/p9"

	"github.com/fsva/fsva"
	"github.com/fsva/fsva/adapters/billy"
	"github.com/fsva/fsva/vfs"
)

// A main that serves a billy file system to guests. One that goes on until it is
// told to end has fsva.Serve in the place of Start and Stop, ports that
// are known, and directories for State in both places.
func Example() {
	var mine gobilly.Filesystem = newPlain() // or whichever

	fs, err := billy.New(mine, billy.Options{})
	if err != nil {
		panic(err)
	}
	defer fs.Close()
	server, err := fsva.Start(fsva.Config{
		Exports: map[string]vfs.FS{"mine": fs},
		NFS:     "127.0.0.1:0",
		P9:      "tcp://127.0.0.1:0",
	})
	if err != nil {
		panic(err)
	}
	defer server.Stop(context.Background())

	f, _ := mine.Create("hello")
	f.Write([]byte("Hello, guest!"))
	f.Close()
	fmt.Println(read(server.P9Addr(), "mine", "hello"))
	// Output: Hello, guest!
}

// read reads a file as a guest does: mount -t 9p -o trans=tcp,aname=mine.
func read(addr net.Addr, export, name string) string {
	conn, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		return err.Error()
	}
	client, err := p9.NewClient(conn)
	if err != nil {
		return err.Error()
	}
	defer client.Close()
	root, err := client.Attach(export)
	if err != nil {
		return err.Error()
	}
	_, f, err := root.Walk([]string{name})
	if err != nil {
		return err.Error()
	}
	if _, _, err := f.Open(p9.ReadOnly); err != nil {
		return err.Error()
	}
	b := make([]byte, 100)
	n, _ := f.ReadAt(b, 0)
	return string(b[:n])
}
