package cli

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestServerAddresses(t *testing.T) {
	for text, want := range map[string]serverAddress{
		"tcp://10.77.0.1:564":  {transport: "tcp", address: "10.77.0.1:564", port: 564},
		"tcp://[::1]:564":      {transport: "tcp", address: "[::1]:564", port: 564},
		"tcp://files.lan:1":    {transport: "tcp", address: "files.lan:1", port: 1},
		"unix:///run/fsva.9p":  {transport: "unix", address: "/run/fsva.9p"},
		"vsock://2:9999":       {transport: "vsock", address: "2:9999", cid: 2, port: 9999},
		"vsock://3:4294967295": {transport: "vsock", address: "3:4294967295", cid: 3, port: 1<<32 - 1},
	} {
		if got, err := parseServer(text); err != nil || got != want || got.String() != text {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"":                                    "known are tcp, unix and vsock",
		"10.77.0.1:564":                       "is no address such as",
		"nfs://10.77.0.1":                     "known are tcp, unix and vsock",
		"tcp://10.77.0.1":                     "tcp://HOST:PORT",
		"tcp://:564":                          "tcp://HOST:PORT",
		"tcp://h:70000":                       "tcp://HOST:PORT",
		"tcp://h:564/data":                    "tcp://HOST:PORT",
		"tcp://h:564?a=b":                     "is no address",
		"vsock://:9999":                       "vsock://CID:PORT",
		"vsock://host:9999":                   "vsock://CID:PORT",
		"vsock://2":                           "vsock://CID:PORT",
		"vsock://4294967296:1":                "vsock://CID:PORT",
		"unix://run/fsva.9p":                  "absolute path",
		"unix:run":                            "is no address",
		"unix://":                             "absolute path",
		"unix:///" + strings.Repeat("a", 108): "less than 108 bytes",
	} {
		if _, err := parseServer(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestMountOptions(t *testing.T) {
	for text, want := range map[string]struct {
		flags uintptr
		words string
	}{
		"":                                  {0, "msize=1"},
		"defaults":                          {0, "msize=1"},
		"ro,nosuid,nodev,noexec":            {unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, "msize=1"},
		"ro,rw":                             {0, "msize=1"},
		"cache=mmap,noatime,access=user":    {unix.MS_NOATIME, "cache=mmap,access=user,msize=1"},
		"msize=65536,posixacl":              {0, "msize=65536,posixacl"},
		"context=system_u:object_r:tmp_t,,": {0, "context=system_u:object_r:tmp_t,msize=1"},
	} {
		o, err := parseOptions(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		o.set("msize", "1")
		if o.flags != want.flags || o.String() != want.words {
			t.Errorf("%q: flags %#x and %q", text, o.flags, o)
		}
	}
}

func TestMountIsRefusedBeforeItIsTried(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		want string
		args []string
	}{
		{"give the URL of the server and the directory", []string{"vsock://2:9999"}},
		{"vsock://two:9999 is not of the form vsock://CID:PORT", []string{"vsock://two:9999", dir}},
		{"--export: export name", []string{"--export", "a b", "vsock://2:9999", dir}},
		{"aname= and --export both", []string{"--export", "a", "-o", "aname=b", "vsock://2:9999", dir}},
		{"-o: rfdno= is for this command", []string{"-o", "rfdno=3", "vsock://2:9999", dir}},
		{"-o: port= is what the URL says", []string{"-o", "port=3", "tcp://h:9999", dir}},
		{"-o: cache= is given twice", []string{"-o", "cache=mmap,cache=none", "vsock://2:9999", dir}},
		{"trans=tcp is no way to vsock://2:9999", []string{"-o", "trans=tcp", "vsock://2:9999", dir}},
	} {
		checkRefused(t, exitUsage, []string{c.want}, append([]string{"mount"}, c.args...)...)
	}
}

func TestMountNamesWhatIsMissing(t *testing.T) {
	if os.Geteuid() != 0 {
		checkRefused(t, exitFailure, []string{"only root may mount"}, "mount", "vsock://2:9999", t.TempDir())
		t.Skip("only root gets further")
	}
	none := filepath.Join(t.TempDir(), "none")
	checkRefused(t, exitFailure, []string{none}, "mount", "unix:///run/x", none)
	checkRefused(t, exitFailure, []string{"unix://" + none, "no such file"}, "mount", "-o", "trans=fd", "unix://"+none, t.TempDir())
}

func TestMountErrorsSayWhereTheyComeFrom(t *testing.T) {
	for _, c := range []struct {
		err         error
		aname, want string
	}{
		{syscall.ENODEV, "", "the module 9p is missing"},
		{syscall.EPROTONOSUPPORT, "", "no 9P over fd: the module 9pnet_fd is missing"},
		{syscall.EINVAL, "", "module 9pnet_fd"},
		{syscall.ENOENT, "", "--export"},
		{syscall.ENOENT, "data", "no export data"},
		{syscall.EACCES, "data", "may not use the export"},
	} {
		if got := mountHint(c.err, "fd", c.aname); !strings.Contains(got, c.want) {
			t.Errorf("%v: %q", c.err, got)
		}
	}
	if got := mountHint(errors.New("other"), "fd", ""); got != "" {
		t.Error(got)
	}
}
