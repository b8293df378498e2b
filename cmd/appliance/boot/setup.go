package boot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/cmd/appliance/config"
)

const (
	dataDir   = "/data" // where the data disk is mounted
	configDir = "/run/fsva-config"
	systemDir = "/etc/fsva" // in an image with a system around the appliance
	fileName  = "fsva.yaml"
)

// Addresses of a machine that is there for nothing else. Who wants less says
// so in the configuration.
const (
	everyNFS   = "[::]:2049"
	everyAdmin = "[::]:9049"
)

// setup is how appliance serve is to be called.
type setup struct {
	args  []string
	admin string // the control address, or config.Off
	data  bool   // the data disk is mounted
}

// setUp finds the disks and the configuration. When it returns errors, nothing
// is to be served, but the health address in the setup tells why.
func setUp(p *params, mods *modules, kids *children) (setup, []error) {
	disks := findDisks()
	var problems []error
	var s setup
	data, blank, err := chooseData(p.format, disks)
	if err == nil && blank {
		err = data.format(kids)
	}
	if err == nil && data != nil {
		err = s.mountData(*data, mods, kids)
	}
	if err != nil {
		problems = append(problems, err)
	}
	strange := tellOfOthers(disks)
	file, err := findConfig(p, disks, mods)
	if err != nil {
		problems = append(problems, err)
	}
	cfg := config.Default()
	if file != "" {
		_ = cfg.ReadFile(file) // appliance serve tells what is wrong with it
	}
	if !s.data && strange != "" && !cfg.Given("exports") && !p.gives("export") {
		problems = append(problems, fmt.Errorf("there is a disk, but none with the label %s, and no configuration: %s; label one, have a blank one formatted by fsva.format=NAME, or ask for memory by fsva.export=mem=mem", dataLabel, strange))
	}
	if err := s.flags(p, cfg, file); err != nil {
		problems = append(problems, err)
	}
	return s, problems
}

func (s *setup) mountData(d disk, mods *modules, kids *children) error {
	if err := d.growPartition(kids); err != nil {
		return err
	}
	if err := d.mount(dataDir, mods, 0); err != nil {
		return err
	}
	s.data = true
	say("data disk %s: %s, %d MiB", d.name, d.content, d.size>>20)
	return d.grow(dataDir)
}

// tellOfOthers says on the console which disks are left alone, and returns
// them for a message.
func tellOfOthers(disks []disk) string {
	var others []disk
	for _, d := range disks {
		if d.label != dataLabel && !d.isConfig() {
			say("disk %s holds %s and is left alone: the data disk is the one labelled %s", d.name, d.content, dataLabel)
			others = append(others, d)
		}
	}
	if len(others) == 0 {
		return ""
	}
	return list(others)
}

// findConfig is the path of the configuration, empty if there is none: from
// the command line, else from a configuration drive, else from the data disk,
// else from the system's own disk.
func findConfig(p *params, disks []disk, mods *modules) (string, error) {
	if p.yaml != nil {
		file := filepath.Join("/run", fileName)
		return file, os.WriteFile(file, p.yaml, 0o600)
	}
	for _, d := range disks {
		if !d.isConfig() || !d.mountable() {
			continue
		}
		if err := d.mount(configDir, mods, unix.MS_RDONLY); err != nil {
			return "", err
		}
		if file := filepath.Join(configDir, fileName); exists(file) {
			return file, nil
		}
		say("drive %s (%s) has no %s", d.name, d.content, fileName)
		_ = unix.Unmount(configDir, 0) // or it stays, unused
	}
	for _, dir := range []string{dataDir, systemDir} {
		if file := filepath.Join(dir, fileName); exists(file) {
			return file, nil
		}
	}
	return "", nil
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return !errors.Is(err, fs.ErrNotExist)
}

// flags fills in the command line of appliance serve: what neither the command
// line of the kernel nor the configuration gives has other defaults here than
// on a machine that has other work to do.
func (s *setup) flags(p *params, cfg *config.Config, file string) error {
	s.args = []string{"serve"}
	if file != "" {
		s.args = append(s.args, "--config="+file)
	}
	given := func(key, flag string) bool { return cfg.Given(key) || p.gives(flag) }
	add := func(flag, value string) { s.args = append(s.args, "--"+flag+"="+value) }
	if !given("nfs", "nfs") {
		add("nfs", everyNFS)
	}
	s.admin = cfg.Admin
	if !cfg.Given("admin") {
		s.admin = everyAdmin
		add("admin", everyAdmin)
	}
	if s.data && !given("state", "state") {
		add("state", filepath.Join(dataDir, "state"))
	}
	if s.data && !given("exports", "export") {
		if err := makeExport(); err != nil {
			return err
		}
		add("export", "data=host:"+exportDir)
	}
	s.args = append(s.args, p.serve...)
	if a := p.value("admin"); a != "" {
		s.admin = a
	}
	return nil
}

// exportDir is what is served without a configuration. It is not the data disk
// itself, which has the state and its secret, too.
const exportDir = dataDir + "/export"

// makeExport makes it so that guests can write, whose root is squashed.
func makeExport() error {
	err := os.Mkdir(exportDir, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil {
		err = os.Chmod(exportDir, 0o1777)
	}
	return err
}
