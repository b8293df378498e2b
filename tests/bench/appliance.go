package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// buildAppliance returns the binary to measure, built unless -appliance names
// one, and what removes it again.
func buildAppliance(cfg config) (bin string, remove func(), err error) {
	remove = func() {}
	if cfg.appliance != "" || !slices.Contains(cfg.servers, "fsva") {
		return cfg.appliance, remove, nil
	}
	dir, err := os.MkdirTemp("", "fsva-bench-build")
	if err != nil {
		return "", remove, err
	}
	remove = func() { os.RemoveAll(dir) }
	bin = filepath.Join(dir, "appliance")
	out, err := exec.Command("go", "build", "-o", bin, "github.com/fsva/fsva/cmd/appliance").CombinedOutput()
	if err != nil {
		remove()
		return "", func() {}, fmt.Errorf("build the appliance: %w\n%s", err, out)
	}
	return bin, remove, nil
}

func applianceCommand(cfg config, dir, scratch string, port int) (*exec.Cmd, error) {
	return exec.Command(cfg.appliance, "serve",
		"--export", "data=host:"+dir+",squash=none",
		"--nfs", fmt.Sprintf("%s:%d", cfg.listen, port),
		"--p9", "virtio://"+virtioSocket(scratch),
		"--state", filepath.Join(scratch, "state")), nil
}

// virtioSocket is where a machine finds the appliance's 9P device.
func virtioSocket(scratch string) string { return filepath.Join(scratch, "virtio") }
