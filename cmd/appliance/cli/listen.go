package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"github.com/fsva/fsva/cmd/appliance/config"
)

// listen opens the addresses. Guests that connect from now on wait until they
// are served.
func (a *appliance) listen(context.Context) (err error) {
	if a.nfsListener, err = listen("nfs", a.cfg.NFS); err != nil {
		return err
	}
	a.onStop(closing(a.nfsListener))
	if err := a.listenP9(); err != nil {
		return err
	}
	return a.listenAdmin()
}

// listenAdmin goes on without a control address if another has the default one
// and nobody asked for it.
func (a *appliance) listenAdmin() error {
	if a.cfg.Admin == config.Off || a.cfg.Admin == "" {
		return nil
	}
	l, err := listen("admin", a.cfg.Admin)
	switch {
	case err == nil:
	case a.cfg.Given("admin"):
		return err
	default:
		a.log.Warn().Err(err).Msg("no control address: status, export list and metrics do not work")
		return nil
	}
	if !loopback(a.cfg.Admin) {
		a.log.Warn().Str("admin", a.cfg.Admin).Msg("the control address asks nobody who they are, and other machines reach it")
	}
	a.adminListener = l
	a.onStop(closing(l))
	if a.control, err = listenControl(); err != nil {
		a.log.Warn().Err(err).Msg("no control socket: export add, rm and reload do not work, SIGHUP does")
		return nil
	}
	a.onStop(closing(a.control))
	return nil
}

// listenControl makes the control socket of this process in a directory that
// is only this user's.
func listenControl() (net.Listener, error) {
	dir := "/run/fsva"
	if os.Geteuid() != 0 {
		base := os.Getenv("XDG_RUNTIME_DIR")
		if !filepath.IsAbs(base) {
			return nil, errors.New("$XDG_RUNTIME_DIR is not set")
		}
		dir = filepath.Join(base, "fsva")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return listenUnix(filepath.Join(dir, fmt.Sprintf("control-%d", os.Getpid())))
}

// closing closes a listener, which the server on it may have done already.
func closing(l net.Listener) func() error {
	return func() error {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	}
}

// listen opens the address of a setting. The error says what to do.
func listen(setting, addr string) (net.Listener, error) {
	form := "--" + setting + " IP:PORT"
	if setting == "p9" {
		form = "--p9 tcp://IP:PORT"
	}
	l, err := net.Listen("tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s address %s is in use by another program; stop that one, or choose another with %s", setting, addr, form)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%s address %s: only root may use a port below 1024; choose another with %s", setting, addr, form)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("%s address %s is of no interface of this machine; set up the interface, or choose another with %s", setting, addr, form)
	case err != nil:
		return nil, fmt.Errorf("%s address %s: %w", setting, addr, err)
	}
	return l, nil
}
