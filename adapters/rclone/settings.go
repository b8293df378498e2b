package rclone

import (
	"fmt"
	"strconv"
	"time"

	"github.com/rclone/rclone/fs"

	"github.com/fsva/fsva/adapters"
	"github.com/fsva/fsva/adapters/billy"
)

// settings are the keys of a URL that every scheme has.
type settings struct {
	dirCache  time.Duration // how long a listing is believed
	writeBack time.Duration // how long a file is closed before it is uploaded
	timeout   time.Duration // of a guest's call
	cache     fs.SizeSuffix // what the cache may have of files that are uploaded; -1 is no limit
	links     bool          // symbolic links are kept, as files named *.rclonelink
	serverMod bool          // the remote's own time of a file, where asking for the true one takes a request
	owner     billy.Owner
}

// commonKeys are those of settings.
var commonKeys = []string{"dircache", "writeback", "timeout", "cache", "links", "modtime", "uid", "gid"}

const (
	defaultDirCache  = 5 * time.Minute
	defaultWriteBack = 5 * time.Second
	defaultTimeout   = 60 * time.Second
)

func parseSettings(s *adapters.Source) (set settings, err error) {
	set = settings{dirCache: defaultDirCache, writeBack: defaultWriteBack, timeout: defaultTimeout, cache: -1, links: true}
	for key, to := range map[string]*time.Duration{"dircache": &set.dirCache, "writeback": &set.writeBack, "timeout": &set.timeout} {
		if text := s.Get(key); text != "" {
			// rclone takes 0 for never, or at once in the guest's time.
			if *to, err = time.ParseDuration(text); err != nil || *to < time.Second {
				return set, fmt.Errorf("%s=%s is no time of a second or more, such as 30s or 5m", key, text)
			}
		}
	}
	if text := s.Get("cache"); text != "" {
		if err := set.cache.Set(text); err != nil || set.cache <= 0 {
			return set, fmt.Errorf("cache=%s is no size such as 10G", text)
		}
	}
	switch text := s.Get("links"); text {
	case "", "on":
	case "off":
		set.links = false
	default:
		return set, fmt.Errorf("links=%s is neither on nor off", text)
	}
	switch text := s.Get("modtime"); text {
	case "", "file":
	case "server":
		set.serverMod = true
	default:
		return set, fmt.Errorf("modtime=%s is neither file nor server", text)
	}
	for key, to := range map[string]*uint32{"uid": &set.owner.UID, "gid": &set.owner.GID} {
		if text := s.Get(key); text != "" {
			n, err := strconv.ParseUint(text, 10, 32)
			if err != nil {
				return set, fmt.Errorf("%s=%s is no number of a user or group", key, text)
			}
			*to = uint32(n)
		}
	}
	return set, nil
}
