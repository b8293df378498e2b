package guest_test

import (
	"strings"
	"testing"

	"github.com/fsva/fsva/tests/guest"
)

func TestOpenFilesOutliveTheirNames(t *testing.T) {
	t.Parallel()
	each(t, everyWay, func(t *testing.T, s site) {
		s.g.Run(t, guest.Program(t, "openunlink")+" check "+s.mnt)
	})
}

func TestOpenFileIsReadableAfterAnotherGuestTookItsName(t *testing.T) {
	t.Parallel()
	n := guest.NewNetwork(t)
	_, export := guest.Dir(t, "host")
	srv := guest.StartAppliance(t, n, export, "mem=mem:,squash=none")
	holder, other := guest.Boot(t, n), guest.Boot(t, n)
	for _, name := range []string{"host", "mem"} {
		holder.Mount(t, srv, "vers=4.2", "/"+name, "/mnt/"+name)
		other.Mount(t, srv, "vers=4.2", "/"+name, "/mnt/"+name)
		for _, c := range []struct{ name, script string }{
			{"unlink", "rm file"},
			{"rename", "mv file elsewhere"},
			{"rename over", "echo other > new && mv new file"},
		} {
			t.Run(name+" "+c.name, func(t *testing.T) {
				other.Run(t, "rm -f /run/go; cd /mnt/"+name+" && rm -f * && echo contents > file")
				holder.Run(t, "rm -f /run/go")
				held := holder.Start(t, guest.Program(t, "openunlink")+" hold /mnt/"+name+"/file /run/go")
				held.WaitFor(t, "open", moment)
				other.Run(t, "cd /mnt/"+name+"\n"+c.script)
				holder.Run(t, "touch /run/go")
				held.WaitFor(t, "read contents\n", moment)
				held.Wait(t, moment)
			})
		}
	}
}

// TestOpenFileSurvivesACrashOfTheServer: what has a name somewhere can be
// opened again; of what another guest unlinked, the guest is told that it is
// gone.
func TestOpenFileSurvivesACrashOfTheServer(t *testing.T) {
	t.Parallel()
	n := guest.NewNetwork(t)
	_, export := guest.Dir(t, "host")
	srv := guest.StartAppliance(t, n, export)
	holder, other := guest.Boot(t, n), guest.Boot(t, n)
	for _, g := range []*guest.Guest{holder, other} {
		g.Mount(t, srv, "vers=4.2", "/host", "/mnt/1")
	}
	holder.Run(t, "cd /mnt/1 && for f in mine moved gone; do echo contents > $f; done")
	held := map[string]*guest.Command{}
	for _, f := range []string{"mine", "moved", "gone"} {
		held[f] = holder.Start(t, guest.Program(t, "openunlink")+" hold /mnt/1/"+f+" /run/go")
		held[f].WaitFor(t, "open", moment)
	}
	holder.Run(t, "rm /mnt/1/mine") // it keeps the file under another name
	other.Run(t, "cd /mnt/1 && mv moved elsewhere && rm gone")
	srv.Crash(t)
	holder.Run(t, "touch /run/go")
	for _, f := range []string{"mine", "moved"} {
		held[f].WaitFor(t, "read contents\n", recovery)
		held[f].Wait(t, moment)
	}
	if out, err := held["gone"].Result(t, recovery); err == nil {
		t.Errorf("the guest still reads a file that was gone before the server came back: %s", out)
	}
}

func TestNamesOfEveryKind(t *testing.T) {
	t.Parallel()
	each(t, everyWay, func(t *testing.T, s site) {
		s.g.Run(t, "cd "+s.mnt+`
			echo 1 > file
			ln file hard
			test $(stat -c %h file) = 2
			test hard -ef file
			ln -s file soft
			test "$(readlink soft)" = file
			test "$(cat soft)" = 1
			mkfifo fifo
			test -p fifo
			mknod null c 1 3
			test -c null
			test "$(stat -c %t,%T null)" = 1,3
			echo x > null
			mkdir dir
			fails rmdir .
			touch dir/file
			fails rmdir dir
			fails mv dir dir/below
			mv dir/file dir/FILE
			ls dir | grep -qx FILE
			touch "$(printf '%0255d' 0)"
			fails touch "$(printf '%0256d' 0)"
			touch "with space" ./-dash 'ünïcode' "new
line"
			old="$(printf 'caf\351')" # not UTF-8
			touch "$old"
			test "$(ls caf*)" = "$old"
			mv "$old" older && rm older
			touch -d 2001-02-03T04:05:06.123456789Z file
			test "$(stat -c %.9Y file)" = 981173106.123456789
			chmod 4711 file
			test $(stat -c %a file) = 4711
			chown 12:34 file
			test $(stat -c %u:%g file) = 12:34
			truncate -s 5G file
			test $(stat -c %s file) = 5368709120`)
	})
}

// replacementScript renames files over files that are open, and unlinks others.
func replacementScript(t *testing.T) string {
	return `unset maybe
		test -e $DONE || maybe=-crash
		` + guest.Program(t, "replacer") + " $maybe -until $DONE ."
}

func checkReplacement(t *testing.T, s site, printed string) {
	_, last, _ := strings.Cut(printed, "last ")
	s.same(t, "cat file", "contents of round "+last)
	s.same(t, "ls", "file\n")
}
