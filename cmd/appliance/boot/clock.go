package boot

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// setClock sees to it that time is not before anything that has happened. The
// kernel has set it from the hardware's clock or the hypervisor's; where there
// is none it begins in 1970, and clients, certificates and file times want
// something better. The state was written at the last run, and this program
// was packed when the kernel was made.
func setClock() {
	var latest time.Time
	for _, file := range []string{"/init", dataDir + "/state/state.db"} {
		if info, err := os.Lstat(file); err == nil && info.ModTime().After(latest) {
			latest = info.ModTime()
		}
	}
	if !latest.After(time.Now()) {
		return
	}
	say("there is no clock that can be right; it is set to %s, when this machine was last known to be", latest.UTC().Format(time.DateTime))
	ts := unix.NsecToTimespec(latest.UnixNano())
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &ts); err != nil {
		say("the clock cannot be set: %v", err)
	}
}
