package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs/export"
)

// dialLimit is how long a mount waits for the connection.
const dialLimit = 30 * time.Second

// mounting are the arguments of mount.
type mounting struct {
	export  string
	options string
	at      serverAddress
	dir     string
}

func newMount() *cobra.Command {
	var m mounting
	cmd := &cobra.Command{
		Use:   "mount URL DIR",
		Short: "Mount an export over 9P in this machine",
		Long: `Mount an export over 9P in this machine, a guest, with the 9P client of its
kernel. Only root may do so. The command ends when it is mounted; umount ends
the mount.

It is what mount(8) does with -t 9p, and beyond that opens vsock connections,
which the kernel's client cannot. URLs:
  vsock://CID:PORT  the machine with that context id; the host has 2
  tcp://HOST:PORT   a network
  unix:///PATH      a socket of this machine
Options are those of mount(8) and of the kernel's 9P client. Without others,
version=9p2000.L and msize=1048576 are taken. With trans=fd, connections of
each kind are opened by this command.`,
		Example: `  appliance mount vsock://2:9999 /mnt
  appliance mount --export data -o ro,cache=mmap vsock://2:9999 /mnt`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usagef("give the URL of the server and the directory to mount on, and nothing else")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if m.at, err = parseServer(args[0]); err != nil {
				return usageError{err}
			}
			m.dir = args[1]
			return m.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&m.export, "export", "", "`name` of the export; may be left out if there is only one")
	f.StringVarP(&m.options, "options", "o", "", "mount options, `OPTION,...`")
	return cmd
}

// run checks what was asked for, connects where the kernel cannot, and mounts.
func (m *mounting) run(ctx context.Context) error {
	name := strings.TrimPrefix(m.export, "/")
	if name != "" {
		if err := export.CheckName(name); err != nil {
			return usagef("--export: %w", err)
		}
	}
	opt, err := parseOptions(m.options)
	if err != nil {
		return usagef("-o: %w", err)
	}
	if name != "" && !opt.set("aname", name) {
		return usagef("-o: aname= and --export both name the export")
	}
	opt.set("version", "9p2000.L")
	opt.set("msize", "1048576")
	if m.at.transport == "vsock" {
		opt.set("trans", "fd")
	} else {
		opt.set("trans", m.at.transport)
	}
	trans := opt.get("trans")
	if trans != "fd" && trans != m.at.transport {
		return usagef("-o: trans=%s is no way to %v", trans, m.at)
	}
	if os.Geteuid() != 0 {
		return errors.New("only root may mount; run it as root")
	}
	if st, err := os.Stat(m.dir); err != nil {
		return err
	} else if !st.IsDir() {
		return fmt.Errorf("%s is no directory", m.dir)
	}
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	switch trans {
	case "fd":
		return m.mountConn(ctx, opt)
	case "tcp":
		ip, err := ipv4(ctx, m.at)
		if err != nil {
			return err
		}
		opt.set("port", fmt.Sprint(m.at.port))
		return m.mount(ip, opt)
	}
	return m.mount(m.at.address, opt)
}

// mountConn connects and hands the connection to the kernel, which keeps it
// when this process has ended.
func (m *mounting) mountConn(ctx context.Context, opt *mountOptions) error {
	nc, err := m.at.dial(ctx)
	if err != nil {
		return fmt.Errorf("%v: %w", m.at, err)
	}
	defer nc.Close()
	raw, err := nc.(syscall.Conn).SyscallConn()
	if err != nil {
		return fmt.Errorf("%v: %w", m.at, err)
	}
	var failure error
	if err := raw.Control(func(fd uintptr) {
		opt.set("rfdno", fmt.Sprint(fd))
		opt.set("wfdno", fmt.Sprint(fd))
		failure = m.mount(m.at.String(), opt)
	}); err != nil {
		return fmt.Errorf("%v: %w", m.at, err)
	}
	return failure
}

// ipv4 resolves the name of a server: the kernel's client takes numbers only,
// and of IPv6 it has long known nothing.
func ipv4(ctx context.Context, a serverAddress) (string, error) {
	host, _, err := net.SplitHostPort(a.address)
	if err != nil {
		return "", err
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", host)
	if err != nil {
		return "", fmt.Errorf("%v: no IPv4 address: %w; for IPv6 mount with -o trans=fd", a, err)
	}
	return ips[0].Unmap().String(), nil
}

// mount calls mount(2).
func (m *mounting) mount(source string, opt *mountOptions) error {
	err := unix.Mount(source, m.dir, "9p", opt.flags, opt.String())
	if err == nil {
		return nil
	}
	return fmt.Errorf("mount %v on %s: %w%s", m.at, m.dir, err, mountHint(err, opt.get("trans"), opt.get("aname")))
}

// mountHint says what an error of mount(2) comes from.
func mountHint(err error, trans, aname string) string {
	const module = "9pnet_fd" // has tcp and unix too
	switch {
	case errors.Is(err, syscall.ENODEV):
		return "; the kernel has no 9P client: the module 9p is missing"
	case errors.Is(err, syscall.EPROTONOSUPPORT):
		return "; the kernel has no 9P over " + trans + ": the module " + module + " is missing"
	case errors.Is(err, syscall.EINVAL):
		return "; an option is wrong, or the module " + module + " is missing; the kernel log tells"
	case errors.Is(err, syscall.ENOENT) && aname == "":
		return "; the server has several exports or none: name one with --export"
	case errors.Is(err, syscall.ENOENT):
		return "; the server has no export " + aname
	case errors.Is(err, syscall.EACCES):
		return "; this machine may not use the export, or user nobody not its directory"
	}
	return ""
}

// mountOptions are what mount(2) takes: flags, and words for the file system.
type mountOptions struct {
	flags uintptr
	words []string
}

// mountFlags are the options that are flags of mount(2).
var mountFlags = map[string]struct{ set, clear uintptr }{
	"defaults": {}, "rw": {clear: unix.MS_RDONLY}, "ro": {set: unix.MS_RDONLY},
	"suid": {clear: unix.MS_NOSUID}, "nosuid": {set: unix.MS_NOSUID},
	"dev": {clear: unix.MS_NODEV}, "nodev": {set: unix.MS_NODEV},
	"exec": {clear: unix.MS_NOEXEC}, "noexec": {set: unix.MS_NOEXEC},
	"atime": {clear: unix.MS_NOATIME}, "noatime": {set: unix.MS_NOATIME},
	"diratime": {clear: unix.MS_NODIRATIME}, "nodiratime": {set: unix.MS_NODIRATIME},
	"relatime": {set: unix.MS_RELATIME}, "strictatime": {set: unix.MS_STRICTATIME},
	"async": {clear: unix.MS_SYNCHRONOUS}, "sync": {set: unix.MS_SYNCHRONOUS}, "dirsync": {set: unix.MS_DIRSYNC},
}

func parseOptions(text string) (*mountOptions, error) {
	o := &mountOptions{}
	for word := range strings.SplitSeq(text, ",") {
		key, _, _ := strings.Cut(word, "=")
		flag, known := mountFlags[word]
		switch {
		case word == "":
		case known:
			o.flags = o.flags&^flag.clear | flag.set
		case key == "rfdno", key == "wfdno":
			return nil, fmt.Errorf("%s= is for this command to give", key)
		case key == "port":
			return nil, errors.New("port= is what the URL says")
		case o.get(key) != "":
			return nil, fmt.Errorf("%s= is given twice", key)
		default:
			o.words = append(o.words, word)
		}
	}
	return o, nil
}

// get returns the value of an option, "" if it is not given or has none.
func (o *mountOptions) get(key string) string {
	for _, word := range o.words {
		if k, v, _ := strings.Cut(word, "="); k == key {
			return v
		}
	}
	return ""
}

// set gives an option a value unless it has one.
func (o *mountOptions) set(key, value string) bool {
	if slices.ContainsFunc(o.words, func(word string) bool { return strings.HasPrefix(word, key+"=") }) {
		return false
	}
	o.words = append(o.words, key+"="+value)
	return true
}

// String is the data of mount(2).
func (o *mountOptions) String() string { return strings.Join(o.words, ",") }
