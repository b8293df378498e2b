// Package systemd tells systemd how a service of Type=notify is (sd_notify(3)).
// Where a process was not started by systemd, nothing is told to anybody.
package systemd

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// Notify sends a state, such as READY=1; several have a line each.
func Notify(state string) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	if strings.HasPrefix(path, "@") { // in the abstract name space
		path = "\x00" + path[1:]
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("systemd is not told: %w", err)
	}
	defer c.Close()
	_, err = c.Write([]byte(state))
	return err
}

// WatchdogInterval is how often systemd wants to hear that all is well, half of
// what it allows; 0 if it does not (sd_watchdog_enabled(3)).
func WatchdogInterval() time.Duration {
	if pid := os.Getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	µs, err := strconv.ParseUint(os.Getenv("WATCHDOG_USEC"), 10, 62)
	if err != nil {
		return 0
	}
	return time.Duration(µs) * time.Microsecond / 2
}
