package boot

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/pierrec/lz4/v4"
	"golang.org/x/sys/unix"
)

// modules are the drivers that came with the kernel, as depmod has listed
// them.
type modules struct {
	dir     string
	deps    map[string][]string // by name: its file, and those to load before, last first
	aliases []alias
	loaded  map[string]bool // by file
}

// alias says that a module drives the devices whose own alias it matches.
type alias struct{ pattern, module string }

// modprobe loads modules for the kernel, which names them by alias.
func modprobe(args []string) (code int) {
	m, err := openModules()
	if err != nil {
		return 1
	}
	for _, name := range args {
		if strings.HasPrefix(name, "-") {
			continue
		}
		if m.loadAlias(name) != nil {
			code = 1
		}
	}
	return code
}

func openModules() (*modules, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return nil, err
	}
	release := unix.ByteSliceToString(u.Release[:])
	dir := filepath.Join("/lib/modules", release)
	m, err := readModules(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("no drivers for this kernel, which is %s: start the kernel that was built with this initramfs", release)
	}
	return m, err
}

func readModules(dir string) (*modules, error) {
	m := &modules{dir: dir, deps: map[string][]string{}, loaded: map[string]bool{}}
	err := eachLine(filepath.Join(dir, "modules.dep"), func(line string) {
		file, before, _ := strings.Cut(line, ":")
		m.deps[moduleName(file)] = append([]string{file}, strings.Fields(before)...)
	})
	if err != nil {
		return nil, err
	}
	return m, eachLine(filepath.Join(dir, "modules.alias"), func(line string) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "alias" {
			m.aliases = append(m.aliases, alias{f[1], f[2]})
		}
	})
}

func eachLine(file string, f func(string)) error {
	r, err := os.Open(file)
	if err != nil {
		return err
	}
	defer r.Close()
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		f(lines.Text())
	}
	return lines.Err()
}

// moduleName is a module's name, in which the kernel takes - and _ as one.
func moduleName(file string) string {
	name, _, _ := strings.Cut(path.Base(file), ".")
	return strings.ReplaceAll(name, "-", "_")
}

// load loads a module with what it depends on. One that is loaded, or is part
// of the kernel, is no error.
func (m *modules) load(name string) error {
	files := m.deps[moduleName(name)]
	if files == nil {
		return fmt.Errorf("there is no driver %s", name)
	}
	for i := len(files) - 1; i >= 0; i-- {
		if m.loaded[files[i]] {
			continue
		}
		if err := insert(filepath.Join(m.dir, files[i])); err != nil {
			return fmt.Errorf("driver %s: %w", files[i], err)
		}
		m.loaded[files[i]] = true
	}
	return nil
}

// insert gives the kernel a module's file. A large one is there compressed, as
// images/microvm/build.sh says.
func insert(file string) error {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return insertCompressed(file + ".lz4")
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return unlessLoaded(unix.FinitModule(int(f.Fd()), "", 0))
}

func insertCompressed(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	image, err := io.ReadAll(lz4.NewReader(f))
	if err != nil {
		return err
	}
	return unlessLoaded(unix.InitModule(image, ""))
}

func unlessLoaded(err error) error {
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	return err
}

// loadAlias loads what matches a device's alias or is called so. It is an
// error if nothing does.
func (m *modules) loadAlias(want string) error {
	if m.deps[moduleName(want)] != nil {
		return m.load(want)
	}
	err := fmt.Errorf("no driver for %s", want)
	for _, a := range m.aliases {
		if ok, bad := path.Match(a.pattern, want); bad == nil && ok {
			if err = m.load(a.module); err != nil {
				return err
			}
		}
	}
	return err
}

// loadAll loads the drivers of all devices of the machine. A driver may find
// more devices, such as those behind a PCI device that is virtio's, so it goes
// round until there is nothing new. A driver that fails is not one that the
// appliance must have: what is missing shows later.
func (m *modules) loadAll() {
	if _, err := os.Stat("/sys/hypervisor/type"); err == nil {
		for _, name := range []string{"xen_evtchn", "xen_gntdev", "xen_gntalloc"} { // for 9P over Xen's rings
			if err := m.load(name); err != nil {
				say("%v", err)
			}
		}
	}
	seen := map[string]bool{}
	for again := true; again; {
		again = false
		files, _ := filepath.Glob("/sys/bus/*/devices/*/modalias") // the pattern is correct
		for _, file := range files {
			b, err := os.ReadFile(file)
			want := strings.TrimSpace(string(b))
			if err != nil || seen[want] {
				continue
			}
			seen[want], again = true, true
			m.loadMatching(want)
		}
	}
}

// loadMatching is loadAlias for a device that may do without.
func (m *modules) loadMatching(want string) {
	for _, a := range m.aliases {
		if ok, err := path.Match(a.pattern, want); err == nil && ok {
			if err := m.load(a.module); err != nil && !errors.Is(err, unix.ENODEV) {
				say("%v", err)
			}
			if a.module == "button" {
				_ = m.load("evdev") // which tells of the button
			}
		}
	}
}
