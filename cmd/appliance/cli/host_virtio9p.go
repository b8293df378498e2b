package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/fsva/fsva/hostbridge/qemu"
	"github.com/fsva/fsva/hostbridge/virtio9p"
	"github.com/fsva/fsva/server/p9/virtio"
	"github.com/fsva/fsva/vfs/export"
)

// relay are the flags of host virtio9p.
type relay struct {
	socket, tag, to, export string
	connect                 bool
	qemu, logLevel          string
}

func newHostVirtio9P() *cobra.Command {
	var r relay
	cmd := &cobra.Command{
		Use:   "virtio9p",
		Short: "Be the virtio 9P device of a guest, with the files of an appliance elsewhere",
		Long: `Be the virtio 9P device of one guest until SIGTERM or SIGINT, and relay its
requests to an appliance that serves 9P elsewhere, such as in another virtual
machine. The connection is made when the guest mounts.

The guest's monitor connects to the socket. It must support vhost-user devices
of type 9, as QEMU does since 10.2:
  qemu-system-x86_64 ... \
      -object memory-backend-memfd,id=m,size=1G,share=on -machine q35,memory-backend=m \
      -chardev socket,id=c,path=SOCKET \
      -device vhost-user-test-device-pci,chardev=c,virtio-id=9,num_vqs=1,vq_size=128,config_size=256
With --connect it is the other way round: QEMU listens (server=on,wait=on in
-chardev), and this command connects when it can. QEMU must be started after a
socket that it connects to is there; the options for it are printed, the command
that mounts in the guest, and then a line that begins with "ready".`,
		Example: `  appliance host virtio9p --socket /run/vm1.sock --tag data --to vsock://3:9999
  appliance host virtio9p --socket /run/vm1.sock --to tcp://10.77.0.2:564 --export data --qemu /usr/bin/qemu-system-x86_64`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return r.run(cmd) },
	}
	f := cmd.Flags()
	f.StringVar(&r.socket, "socket", "", "`path` of the socket that the monitor connects to")
	f.StringVar(&r.tag, "tag", "", "what the guest mounts (default the name of --export)")
	f.StringVar(&r.to, "to", "", "`URL` of the appliance: tcp://HOST:PORT, unix:///PATH or vsock://CID:PORT")
	f.StringVar(&r.export, "export", "", "`name` of the only export that the guest may mount (default what the appliance lets it)")
	f.BoolVar(&r.connect, "connect", false, "connect to the socket, at which the monitor listens")
	f.StringVar(&r.qemu, "qemu", "", "`path` of the QEMU to be used: check that it has the device")
	f.StringVar(&r.logLevel, "log-level", "info", "what to log: debug, info, warn or error")
	return cmd
}

// run serves the device until a signal ends it.
func (r *relay) run(cmd *cobra.Command) error {
	at, err := r.check()
	if err != nil {
		return err
	}
	log, err := newLogger(cmd.ErrOrStderr(), r.logLevel)
	if err != nil {
		return usagef("--log-level: %q is none of debug, info, warn and error", r.logLevel)
	}
	ctx, restore := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
	defer restore()
	model := qemu.P9Models[0]
	if r.qemu != "" {
		if model, err = qemu.FindP9(ctx, r.qemu); err != nil {
			return fmt.Errorf("--qemu: %w", err)
		}
	}
	device, err := r.device(at, log)
	if err != nil {
		return err
	}
	if err := r.announce(cmd.OutOrStdout(), model); err != nil {
		device.Close()
		return fmt.Errorf("standard output: %w", err)
	}
	context.AfterFunc(ctx, restore) // a second signal ends the process at once
	return device.Serve(ctx)
}

// check reads the flags.
func (r *relay) check() (at serverAddress, err error) {
	if r.socket == "" {
		return at, usagef("--socket: give the path of the socket that the monitor connects to")
	}
	if r.socket, err = filepath.Abs(r.socket); err != nil {
		return at, err
	}
	if len(r.socket) >= maxSocketPath || strings.Contains(r.socket, ",") {
		return at, usagef("--socket: %s: needs a path of less than %d bytes without a comma", r.socket, maxSocketPath)
	}
	if r.to == "" {
		return at, usagef("--to: give the address of the appliance, such as vsock://3:9999")
	}
	if at, err = parseServer(r.to); err != nil {
		return at, usagef("--to: %w", err)
	}
	if r.export != "" {
		if err := export.CheckName(r.export); err != nil {
			return at, usagef("--export: %w", err)
		}
	}
	r.tag = cmp.Or(r.tag, r.export)
	if r.tag == "" || len(r.tag) > maxTag || strings.ContainsRune(r.tag, 0) {
		return at, usagef("--tag: give what the guest is to mount, 1 to %d bytes", maxTag)
	}
	return at, nil
}

// maxTag is the longest tag of a virtio 9P device that QEMU has room for, in
// bytes.
const maxTag = 254

func (r *relay) device(at serverAddress, log zerolog.Logger) (*virtio.Device, error) {
	upstream := virtio9p.Config{Tag: r.tag, Address: at.String(), Dial: at.dial, Export: r.export, Log: log}
	return virtio.New(virtio.Config{
		Tag: r.tag, Socket: r.socket, Dial: r.connect, Log: log,
		NewChannel: func() virtio.Channel { return virtio9p.NewChannel(upstream) },
	})
}

// announce prints what to start QEMU with and what to mount in the guest.
func (r *relay) announce(w io.Writer, model string) error {
	listens := ""
	if r.connect {
		listens = ",server=on,wait=on"
	}
	_, err := fmt.Fprintf(w, `-object memory-backend-memfd,id=m,size=1G,share=on -machine q35,memory-backend=m -chardev socket,id=c,path=%s%s -device %s,chardev=c,virtio-id=9,num_vqs=1,vq_size=128,config_size=256
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000 %s /mnt
ready virtio9p=%s to=%s
`, r.socket, listens, model, r.tag, r.socket, r.to)
	return err
}
