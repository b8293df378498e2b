package cli

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

// qemuDevices are the names that QEMU has had for the PCI device whose back end
// says what it is, the newest first.
var qemuDevices = []string{"vhost-user-test-device-pci", "vhost-user-device-pci"}

// qemuLimit is how long QEMU may take to say what it has.
const qemuLimit = 30 * time.Second

var qemuVersion = regexp.MustCompile(`version (\d+(\.\d+)+)`)

// findQEMUDevice asks a QEMU which devices users can make, and returns the name
// of the one that the 9P device needs.
func findQEMUDevice(ctx context.Context, path string) (string, error) {
	help, err := askQEMU(ctx, path, "-device", "help")
	if err != nil {
		return "", err
	}
	for _, model := range qemuDevices {
		if strings.Contains(help, `name "`+model+`"`) {
			return model, nil
		}
	}
	text, err := askQEMU(ctx, path, "--version")
	if err != nil {
		return "", err
	}
	version := "of unknown version"
	if m := qemuVersion.FindStringSubmatch(text); m != nil {
		version = m[1]
	}
	return "", fmt.Errorf("QEMU %s at %s has no vhost-user device for 9P; 10.2 or newer is needed", version, path)
}

func askQEMU(ctx context.Context, path string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, qemuLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.WaitDelay = time.Second // for what inherited its output
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		first, _, _ := strings.Cut(stderr.String(), "\n")
		return "", fmt.Errorf("--qemu: %s %s: %w %s", path, strings.Join(args, " "), err, first)
	}
	return string(out), nil
}
