package main

import (
	"os"
	"os/exec"
	"strings"
)

// A chore is what programs do in a guest: a row of the table. Its scripts run
// in a directory of its own on each mount, and find in $IN what pack has made
// on the host, and Go in $GOROOT. What a round made stays for the next, since
// ext4 takes long to make files where many were removed in the last minutes.
type chore struct {
	name  string
	needs string // a program, in the Debian package of the same name
	pack  string // on the host, in $IN: once
	once  string // in the guest: before the first round
	reset string // before each round, the number of which is $ROUND
	work  string // what is measured; to be on the disk at its end
	check string // after the last round
}

// goSettings keep the Go tool to what is here.
const goSettings = "export GOPROXY=off GOTOOLCHAIN=local CGO_ENABLED=0 GOWORK=off GOFLAGS=\n"

// sourceTree is the part of Go's source that is a real tree here: 2,400 files
// of 30 MB.
const sourceTree = "net runtime encoding os syscall"

var chores = []chore{
	{
		name:  "untar",
		pack:  "tar -C $GOROOT/src -cf tree.tar " + sourceTree,
		reset: "mkdir tree.$ROUND && ln -sfn tree.$ROUND tree",
		work:  "tar -C tree -xf $IN/tree.tar && sync -f .",
		check: "tar -C tree -df $IN/tree.tar",
	},
	{
		name: "git status",
		pack: `git init -q repo
			cd repo
			for d in ` + sourceTree + `; do cp -r $GOROOT/src/$d .; done
			git add .
			git -c user.name=bench -c user.email=bench@localhost commit -q -m all
			git gc -q`,
		// The first status reads every file, for the copies have new times.
		once: "cp -r $IN/repo . && git -C repo status --porcelain",
		work: `test -z "$(git -C repo status --porcelain)"`,
		// One change must be seen.
		check: `echo >> repo/net/dial.go && test "$(git -C repo status --porcelain)" = " M net/dial.go"`,
	},
	{
		name: "compile",
		// To compile the runtime in a guest takes minutes, so it comes from here.
		pack: `cat > hello.go <<-'END'
				package main

				import ("encoding/json"; "os")

				func main() { json.NewEncoder(os.Stdout).Encode("compiled") }
			END
			` + goSettings + ` GOCACHE=$PWD/cache $GOROOT/bin/go build fmt`,
		once:  "cp $IN/hello.go .",
		reset: "rm -f hello && cp -r $IN/cache cache.$ROUND",
		work:  goSettings + ` GOCACHE=$PWD/cache.$ROUND $GOROOT/bin/go build -o hello hello.go && sync -f .`,
		check: `test "$(./hello)" = '"compiled"'`,
	},
	{
		name:  "postmark",
		needs: "postmark",
		reset: "mkdir -p files",
		work: `printf 'set location files\nset number 1000\nset transactions 2000\nset seed 1\nrun\nquit\n' | postmark > /run/postmark
			sync -f .
			grep -q 'Deleting files.*Done' /run/postmark`,
		check: "rmdir files",
	},
}

// dir is the name of its directory, in one word for scripts.
func (c chore) dir() string { return strings.ReplaceAll(c.name, " ", "-") }

// missing says what the chore needs and this machine lacks, or nothing.
func (c chore) missing() string {
	if _, err := exec.LookPath(c.needs); c.needs != "" && err != nil {
		return c.needs + " is not installed (apt-get install " + c.needs + ")"
	}
	return ""
}

// packIn makes what the chore needs in dir.
func (c chore) packIn(t *stage, dir, goroot string) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-ec", c.pack)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "IN="+dir, "GOROOT="+goroot)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("pack for %s: %v\n%s", c.name, err, out)
	}
}
