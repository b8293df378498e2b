package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/hostbridge/site"
)

// leaveKey is Ctrl-], which ends a console as it does telnet(1) and xl console.
const leaveKey = 0x1d

// consoleLimit is how long a machine may take to run that was started a moment
// ago.
const consoleLimit = 10 * time.Second

func newHostConsole() *cobra.Command {
	var config string
	cmd := &cobra.Command{
		Use:   "console NAME",
		Short: "Connect this terminal with the console of a machine that host run runs",
		Long: `Connect this terminal with the console of a machine that host run runs: of a guest
by its name, or of the appliance. Ctrl-] leaves it, and the machine goes on. It
ends when the machine does.

What is piped in goes to the machine as if it were typed; its end is not that of
the console.`,
		Example: "  appliance host console web1 --config " + site.DefaultPath,
		Args:    oneGuest,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := site.Read(config)
			if err != nil {
				return err
			}
			name := args[0]
			if name != s.Appliance.Name || s.ApplianceOnHost() {
				if _, err := findGuest(s, name); err != nil {
					return err
				}
			}
			return hostConsole(cmd, filepath.Join(machineDir(s.Bridge), name), name)
		},
	}
	cmd.Flags().StringVar(&config, "config", site.DefaultPath, "`file` that describes the bridge and the guests")
	return cmd
}

// hostConsole connects the standard files with the console of a machine, whose
// files begin with base.
func hostConsole(cmd *cobra.Command, base, name string) error {
	ctx, restore := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer restore()
	conn, err := dialConsole(ctx, base+".console", name, consoleLimit)
	if err != nil {
		return err
	}
	defer conn.Close()
	// QEMU has one connection at a time, and lets others wait without a word.
	lock, err := lockFile(base + ".console-lock")
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		return fmt.Errorf("another appliance host console has the console of %s; leave that one first", name)
	case err != nil:
		return err
	}
	defer lock.Close()
	stdin := int(os.Stdin.Fd())
	was, err := rawTerminal(stdin)
	if err != nil {
		return fmt.Errorf("terminal: %w", err)
	}
	if was != nil {
		defer unix.IoctlSetTermios(stdin, unix.TCSETSF, was)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "console of %s; Enter for its prompt, Ctrl-] to leave\r\n", name)
	why := converse(ctx, conn, os.Stdin, cmd.OutOrStdout())
	fmt.Fprintf(cmd.ErrOrStderr(), "\r\nconsole of %s: %s\r\n", name, why)
	return nil
}

// dialConsole connects to a console, which may be about to be there.
func dialConsole(ctx context.Context, socket, name string, limit time.Duration) (net.Conn, error) {
	for end := time.Now().Add(limit); ; {
		conn, err := net.Dial("unix", socket)
		switch {
		case err == nil:
			return conn, nil
		case errors.Is(err, os.ErrPermission):
			return nil, fmt.Errorf("console of %s: %w; run this as root", name, err)
		case time.Now().After(end):
			return nil, fmt.Errorf("machine %s does not run: %w; start it with appliance host run", name, err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("console of %s: %w", name, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// converse carries what is typed to a machine and what it says back, and returns
// why it ended.
func converse(ctx context.Context, conn net.Conn, in io.Reader, out io.Writer) string {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	said := make(chan struct{})
	go func() {
		defer close(said)
		_, _ = io.Copy(out, conn) // ends with the machine, or with us
	}()
	// Nothing wakes a read of a terminal: it ends with this process.
	go func() {
		if forward(conn, in) {
			cancel()
		}
	}()
	select {
	case <-said:
		return "the machine has ended"
	case <-ctx.Done():
		conn.Close()
		<-said
		return "left"
	}
}

// forward sends to a machine what is read, and reports whether the key to leave
// was typed.
func forward(to io.Writer, from io.Reader) bool {
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		b, _, left := bytes.Cut(buf[:n], []byte{leaveKey})
		if _, failed := to.Write(b); failed != nil || err != nil || left {
			return left
		}
	}
}

// rawTerminal has a terminal give each key to us as it is, and returns how it was;
// nil if it is no terminal (termios(3), cfmakeraw).
func rawTerminal(fd int) (*unix.Termios, error) {
	was, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, nil
	}
	raw := *was
	raw.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	raw.Oflag &^= unix.OPOST
	raw.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	raw.Cflag = raw.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	return was, unix.IoctlSetTermios(fd, unix.TCSETS, &raw)
}
