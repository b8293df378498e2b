package boot

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Where the first process is systemd, the appliance starts in two services, as
// one that mounts may do anything, and the one that serves is to do little:
// [Prepare] is for the one, and leaves what it has found for [Serve].

// prepared is what Prepare leaves: how appliance serve is to be called, or why
// it is not.
type prepared struct {
	Args     []string
	Admin    string
	Problems []string
}

// Prepare finds and mounts the data disk, finds the configuration, and writes
// file. What is wrong with them is no error of Prepare's: it is Serve that tells.
func Prepare(file string) error {
	p, problems := readParams()
	if p.network {
		problems = append(problems, errors.New("kernel command line: ip= and fsva.ip= are for the microVM; here the network is that of cloud-init or systemd-networkd"))
	}
	s, more := setUp(p, nil, newChildren())
	done := prepared{Args: s.args, Admin: s.admin}
	for _, err := range append(problems, more...) {
		done.Problems = append(done.Problems, err.Error())
	}
	b, err := json.Marshal(done)
	if err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o644)
}

// Serve keeps appliance serve running, as a machine's first process does, and
// tells systemd, until it is told to stop. Like there, what goes wrong is said
// on the console and at the health address. The file is Prepare's.
func Serve(file string) {
	power := notifyPower()
	// It is for the process that serves to feed the watchdog.
	_ = os.Unsetenv("WATCHDOG_PID")
	done, err := readPrepared(file)
	if err != nil {
		done = prepared{Admin: everyAdmin, Problems: []string{fmt.Sprintf("the disks have not been looked at: %v; see journalctl -u fsva-disks", err)}}
	}
	var problems []error
	for _, text := range done.Problems {
		problems = append(problems, errors.New(text))
	}
	sup := &supervisor{kids: newChildren(), setup: setup{args: done.Args, admin: done.Admin}, net: seeNetwork(), problems: problems}
	sup.run(power)
}

func readPrepared(file string) (done prepared, err error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return done, err
	}
	if err := json.Unmarshal(b, &done); err != nil {
		return done, fmt.Errorf("%s: %w", filepath.Base(file), err)
	}
	return done, nil
}
