package link

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Journal names what up is about to make, so that down finds it even if up ends
// between making a device and marking it. It is kept where files do not outlive
// the boot, as devices do not, and for each network namespace apart. Whoever
// has it open is alone with its bridge.
type Journal struct {
	path  string
	lock  *os.File
	names []string
}

// OpenJournal opens the journal of a bridge in dir, which is made if need be,
// and fails if another process has it.
func OpenJournal(dir, bridge string) (*Journal, error) {
	ns, err := namespace()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	j := &Journal{path: filepath.Join(dir, fmt.Sprintf("%s-%d.json", bridge, ns))}
	lock, err := lockFile(j.path + ".lock")
	if errors.Is(err, errLocked) {
		return nil, fmt.Errorf("another appliance host is at work on bridge %s; let it end", bridge)
	}
	if err != nil {
		return nil, err
	}
	j.lock = lock
	text, err := os.ReadFile(j.path)
	if err == nil {
		err = json.Unmarshal(text, &j.names)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		lock.Close()
		return nil, fmt.Errorf("journal %s: %w; remove it", j.path, err)
	}
	return j, nil
}

var errLocked = errors.New("locked by another process")

// lockFile holds a file, which is made if need be, until it is closed.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, errLocked
	}
	return f, nil
}

// ErrServed says that a host serve runs for a bridge.
var ErrServed = errors.New("appliance host serve runs for it")

// HoldService is for who serves a bridge until the result is closed. It fails
// with ErrServed if another does.
func HoldService(dir, bridge string) (io.Closer, error) {
	ns, err := namespace()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := lockFile(filepath.Join(dir, fmt.Sprintf("%s-%d.serve", bridge, ns)))
	if errors.Is(err, errLocked) {
		return nil, fmt.Errorf("bridge %s: %w", bridge, ErrServed)
	}
	return f, err
}

// Journaled lists the bridges that have a journal in dir.
func Journaled(dir string) (bridges []string) {
	ns, err := namespace()
	if err != nil {
		return nil
	}
	suffix := fmt.Sprintf("-%d.json", ns)
	entries, _ := os.ReadDir(dir) // without one, nothing was made
	for _, e := range entries {
		if bridge, ok := strings.CutSuffix(e.Name(), suffix); ok {
			bridges = append(bridges, bridge)
		}
	}
	return bridges
}

// namespace is the number of the network namespace. Unlike that of its file in
// /proc, no later one gets it, for which an old journal would be a lie
// (SO_NETNS_COOKIE, Linux 5.14).
func namespace() (uint64, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("network namespace: %w", err)
	}
	defer unix.Close(fd)
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err != nil {
		return 0, fmt.Errorf("network namespace: %w; Linux 5.14 or newer is needed", err)
	}
	return cookie, nil
}

// ReadJournal is OpenJournal for who only looks. Nothing is made and locked.
func ReadJournal(dir, bridge string) *Journal {
	j := &Journal{}
	ns, err := namespace()
	if err != nil {
		return j
	}
	if text, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("%s-%d.json", bridge, ns))); err == nil {
		_ = json.Unmarshal(text, &j.names) // what is not legible is not ours
	}
	return j
}

func (j *Journal) has(name string) bool { return slices.Contains(j.names, name) }

// Note adds names, before devices with them are made.
func (j *Journal) Note(names ...string) error {
	for _, n := range names {
		if !j.has(n) {
			j.names = append(j.names, n)
		}
	}
	text, err := json.Marshal(j.names)
	if err != nil {
		return err
	}
	if err := os.WriteFile(j.path+".new", text, 0o600); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return os.Rename(j.path+".new", j.path)
}

// Clear forgets everything, when there is nothing left.
func (j *Journal) Clear() error {
	j.names = nil
	if err := os.Remove(j.path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Close lets others at the bridge.
func (j *Journal) Close() error { return j.lock.Close() }
