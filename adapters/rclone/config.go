package rclone

import (
	"fmt"
	"os"
	"sync"

	"github.com/rclone/rclone/fs/config"
	"github.com/rclone/rclone/fs/config/configfile"
)

// rclone has one configuration file for the whole process.
var used struct {
	sync.Mutex
	path string
	set  bool
}

// useConfig has rclone read its remotes from a file, "" for where it looks by
// itself.
func useConfig(path string) error {
	if path != "" {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("rclone's configuration file: %w", err)
		}
	}
	used.Lock()
	defer used.Unlock()
	if used.set && used.path != path {
		return fmt.Errorf("all rclone: exports of an appliance have one configuration file, which is %q for another", used.path)
	}
	if used.set {
		return nil
	}
	if path != "" {
		if err := config.SetConfigPath(path); err != nil {
			return err
		}
	}
	configfile.Install()
	used.path, used.set = path, true
	return nil
}
