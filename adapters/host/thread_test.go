package host

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs"
)

// lost has a call take from its thread what it needs to be itself again.
func lost() error {
	if e := capset(&[2]unix.CapUserData{}); e != 0 {
		return e
	}
	return nil
}

const stillServing = "still serving"

func TestProcessEndsWithAThreadThatStaysSomebodyElse(t *testing.T) {
	needRoot(t, "acting as other users")
	alone := &vfs.Cred{UID: 1000, GID: 1000}
	damages := map[string]func(*FS) error{
		"groups":       func(fs *FS) error { return fs.asking(user, lost) },
		"capabilities": func(fs *FS) error { return fs.as(alone, lost) },
		"group": func(fs *FS) error {
			fs.ids.gid = 3000
			return fs.asking(alone, lost)
		},
		"user": func(fs *FS) error {
			fs.ids.uid = 3000
			return fs.asking(alone, lost)
		},
	}
	const which = "FSVA_TEST_DAMAGE"
	if name := os.Getenv(which); name != "" {
		serveOn(damages[name], serve(t, t.TempDir(), Options{}))
		return
	}
	for name := range damages {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestProcessEndsWithAThreadThatStaysSomebodyElse$")
			cmd.Env = append(os.Environ(), which+"="+name, "TMPDIR="+t.TempDir()) // it does not tidy up
			out, err := cmd.CombinedOutput()
			if err == nil || strings.Contains(string(out), stillServing) || !strings.Contains(string(out), "identity") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// serveOn makes a call as the servers do, which outlive the panic of one.
func serveOn(call func(*FS) error, fs *FS) {
	defer func() {
		recover()
		fmt.Println(stillServing)
	}()
	call(fs)
}

func TestPanicGivesTheThreadItsIdentityBack(t *testing.T) {
	_, fs := shared(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	func() {
		defer func() { recover() }()
		fs.as(user, func() error { panic("a mistake") })
	}()
	uid, gid := setfsid(unix.SYS_SETFSUID, noID), setfsid(unix.SYS_SETFSGID, noID)
	groups := must[[]int](t)(unix.Getgroups())
	var caps [2]unix.CapUserData
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&header, &caps[0]); err != nil {
		t.Fatal(err)
	}
	if uid != 0 || gid != uint32(os.Getegid()) || len(groups) != 0 || caps != fs.ids.full {
		t.Errorf("user %d, group %d, groups %v, capabilities %x", uid, gid, groups, caps)
	}
}
