package qemu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

// Name is what QEMU is called where commands are.
const Name = "qemu-system-x86_64"

// P9Models are the names that QEMU has had for the PCI device whose back end
// says what it is, the newest first.
var P9Models = []string{"vhost-user-test-device-pci", "vhost-user-device-pci"}

// askLimit is how long QEMU may take to say what it has.
const askLimit = 30 * time.Second

var versionText = regexp.MustCompile(`version (\d+(\.\d+)+)`)

// Find returns the path of QEMU: the one that is given, or the one that is
// found.
func Find(given string) (string, error) {
	path, err := exec.LookPath(given)
	if given == "" {
		path, err = exec.LookPath(Name)
	}
	switch {
	case err == nil:
		return path, nil
	case given == "" && errors.Is(err, exec.ErrNotFound):
		return "", fmt.Errorf("there is no %s here; install QEMU (qemu-system-x86 in Debian), or name one with qemu: in the file", Name)
	}
	return "", fmt.Errorf("qemu: %w", err)
}

// FindP9 asks a QEMU for the devices that users can make, and returns the name
// of the one that the 9P device needs. It is asked for by name: a list of all
// would have QEMU load all its modules, also those of another version.
func FindP9(ctx context.Context, path string) (string, error) {
	text, err := ask(ctx, path, "--version")
	if err != nil {
		return "", err
	}
	for _, model := range P9Models {
		if _, err := ask(ctx, path, "-device", model+",help"); err == nil {
			return model, nil
		}
	}
	version := "of unknown version"
	if m := versionText.FindStringSubmatch(text); m != nil {
		version = m[1]
	}
	return "", fmt.Errorf("QEMU %s at %s has no vhost-user device for 9P; 10.2 or newer is needed", version, path)
}

func ask(ctx context.Context, path string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.WaitDelay = time.Second // for what inherited its output
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		first, _, _ := strings.Cut(stderr.String(), "\n")
		return "", fmt.Errorf("%s %s: %w %s", path, strings.Join(args, " "), err, first)
	}
	return string(out), nil
}
