package hostbridge

import (
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/fsva/fsva/hostbridge/change"
	"github.com/fsva/fsva/hostbridge/link"
)

// devices lists the interfaces there are, besides the loopback.
func devices(t *testing.T) (names []string) {
	t.Helper()
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if name := l.Attrs().Name; name != "lo" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func TestUpTwiceChangesNothingTheSecondTime(t *testing.T) {
	enter(t)
	s := read(t, twoGuests)
	planned, err := Plan(s)
	if err != nil {
		t.Fatal(err)
	}
	var plan strings.Builder
	for _, c := range planned {
		plan.WriteString(c.String() + "\n")
	}
	if did := up(t, s); did != plan.String() {
		t.Errorf("planned:\n%sdone:\n%s", &plan, did)
	}
	if got, want := devices(t), []string{"br-t", "tap-one", "tap-two"}; !slices.Equal(got, want) {
		t.Errorf("interfaces %v, not %v", got, want)
	}
	if again := up(t, s); again != "" {
		t.Errorf("the second time:\n%s", again)
	}
}

func TestUpAfterAnEditChangesOnlyWhatDiffers(t *testing.T) {
	enter(t)
	up(t, read(t, twoGuests))
	kept, err := netlink.LinkByName("tap-one")
	if err != nil {
		t.Fatal(err)
	}
	edited := strings.Replace(twoGuests, "{name: two, address: 10.77.0.12}", "{name: three, address: 10.77.0.13}", 1)
	did := up(t, read(t, edited))
	for _, want := range []string{"remove tap tap-two", "make tap tap-three", "set ip: add 1, remove 1"} {
		if !strings.Contains(did, want) {
			t.Errorf("no %q in:\n%s", want, did)
		}
	}
	if strings.Contains(did, "tap-one") {
		t.Errorf("the guest that stays is touched:\n%s", did)
	}
	if l, err := netlink.LinkByName("tap-one"); err != nil || l.Attrs().Index != kept.Attrs().Index {
		t.Errorf("tap-one is another: %v", err)
	}
	if again := up(t, read(t, edited)); again != "" {
		t.Errorf("then again:\n%s", again)
	}
}

func TestUpRepairsWhatSomebodyChanged(t *testing.T) {
	mac := read(t, twoGuests).Guests[0].MAC.String()
	for name, damage := range map[string]func() error{
		"port not isolated": func() error { return ip("bridge link set dev tap-one isolated off") },
		"MAC can move":      func() error { return ip("bridge fdb replace " + mac + " dev tap-one master static") },
		"bridge's MAC":      func() error { return ip("ip link set br-t address 02:00:00:00:00:09") },
		"bridge down":       func() error { return ip("ip link set br-t down") },
		"tap taken off":     func() error { return ip("ip link set tap-one nomaster") },
		"address removed":   func() error { return ip("ip address del 10.77.0.1/24 dev br-t") },
		"neighbour lies":    func() error { return ip("ip neigh replace 10.77.0.11 lladdr 02:00:00:00:00:01 dev br-t nud permanent") },
		"LLDP let in":       func() error { return ip("ip link set br-t type bridge group_fwd_mask 0") },
		"ARP of the tap":    func() error { return ip("sysctl -q net.ipv4.conf.tap-one.arp_ignore=0") },
		"firewall gone":     func() error { return ip("nft delete table bridge fsva-br-t") },
		"rules flushed":     func() error { return ip("nft flush chain bridge fsva-br-t prerouting") },
	} {
		t.Run(name, func(t *testing.T) {
			enter(t)
			s := read(t, twoGuests)
			up(t, s)
			if err := damage(); errors.Is(err, exec.ErrNotFound) {
				t.Skip(err)
			} else if err != nil {
				t.Fatal(err)
			}
			if did := up(t, s); did == "" {
				t.Error("nothing was repaired")
			}
			if again := up(t, s); again != "" {
				t.Errorf("not all was repaired at once:\n%s", again)
			}
		})
	}
}

// ip runs a command of an administrator.
func ip(command string) error {
	words := strings.Fields(command)
	if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", command, err, out)
	}
	return nil
}

func TestDownRemovesExactlyWhatUpMade(t *testing.T) {
	enter(t)
	for _, name := range []string{"other0", "tap-other"} {
		if err := ip("ip link add " + name + " type bridge"); err != nil {
			t.Fatal(err)
		}
	}
	before := devices(t)
	s := read(t, twoGuests)
	other := read(t, strings.NewReplacer("br-t", "br-u", "10.77.0", "10.78.0", "fd77:1", "fd78:1", "one", "three", "two", "four").Replace(twoGuests))
	up(t, other)
	beside := devices(t)
	up(t, s)
	down(t, "br-t")
	if got := devices(t); !slices.Equal(got, beside) {
		t.Errorf("interfaces %v, before %v", got, beside)
	}
	if again := up(t, other); again != "" {
		t.Errorf("the other bridge was touched:\n%s", again)
	}
	down(t, "br-u")
	if got := devices(t); !slices.Equal(got, before) {
		t.Errorf("interfaces %v, before %v", got, before)
	}
	if did := down(t, "br-t"); did != "" {
		t.Errorf("down once more:\n%s", did)
	}
}

// An up that was killed after any of its changes, or between making a device
// and marking it, leaves what down finds and what up goes on from.
func TestUpThatWasKilledHalfWay(t *testing.T) {
	enter(t)
	s := read(t, twoGuests)
	all, err := Plan(s)
	if err != nil {
		t.Fatal(err)
	}
	for after := range len(all) {
		for _, next := range []string{"up", "down"} {
			t.Run(fmt.Sprintf("after %d changes, then %s", after, next), func(t *testing.T) {
				enter(t)
				killed(t, after)
				if next == "up" {
					up(t, s)
					if again := up(t, s); again != "" {
						t.Errorf("not complete:\n%s", again)
					}
				}
				down(t, s.Bridge)
				if left := devices(t); len(left) > 0 {
					t.Errorf("%v are left", left)
				}
			})
		}
	}
}

// killed does the first changes of an up, and makes a device without a mark.
func killed(t *testing.T, changes int) {
	t.Helper()
	s := read(t, twoGuests)
	journal, err := link.OpenJournal(journalDir, s.Bridge)
	if err != nil {
		t.Fatal(err)
	}
	defer journal.Close()
	list, err := plan(s, journal)
	if err != nil {
		t.Fatal(err)
	}
	if err := journal.Note(s.Bridge, "tap-one", "tap-two"); err != nil {
		t.Fatal(err)
	}
	if err := apply(list[:changes], func(change.Change) {}); err != nil {
		t.Fatal(err)
	}
	unmarked := "ip tuntap add tap-two mode tap"
	if !slices.Contains(devices(t), s.Bridge) {
		unmarked = "ip link add br-t type bridge"
	}
	if err := ip(unmarked); err != nil {
		t.Fatal(err)
	}
}

func TestWhatOthersMadeIsNamedAndNothingChanges(t *testing.T) {
	for name, test := range map[string]struct{ foreign, want string }{
		"bridge":  {"ip link add br-t type bridge", "interface br-t is there and was not made by appliance host up"},
		"tap":     {"ip tuntap add tap-one mode tap", "interface tap-one is there and was not made by appliance host up"},
		"address": {"ip address add 10.77.0.200/32 dev lo", "10.77.0.0/24 of"},
		"route":   {"ip route add 10.0.0.0/8 dev lo", "10.77.0.0/24 of"},
	} {
		t.Run(name, func(t *testing.T) {
			enter(t)
			for _, command := range []string{"ip link set lo up", test.foreign} {
				if err := ip(command); err != nil {
					t.Fatal(err)
				}
			}
			before := devices(t)
			err := Up(read(t, twoGuests), func(c change.Change) { t.Errorf("changed: %v", &c) })
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, without %q", err, test.want)
			}
			if got := devices(t); !slices.Equal(got, before) {
				t.Errorf("interfaces %v, before %v", got, before)
			}
			if err := Down("br-t", true, ignore); (err != nil) != (name == "bridge") {
				t.Errorf("down: %v", err)
			}
			if got := devices(t); !slices.Equal(got, before) {
				t.Errorf("down took what is another's: %v, before %v", got, before)
			}
		})
	}
}

func TestTapsInUseAreNotRemovedUnlessForced(t *testing.T) {
	enter(t)
	up(t, read(t, twoGuests))
	plug(t, "tap-two")
	err := Down("br-t", false, func(c change.Change) { t.Errorf("changed: %v", &c) })
	if err == nil || !strings.Contains(err.Error(), "tap-two") || !strings.Contains(err.Error(), "--force") {
		t.Errorf("down: %v", err)
	}
	down(t, "br-t")
}

func TestTwoUpsAtOnceDoNotMeet(t *testing.T) {
	enter(t)
	journal, err := link.OpenJournal(journalDir, "br-t")
	if err != nil {
		t.Fatal(err)
	}
	defer journal.Close()
	if err := Up(read(t, twoGuests), func(change.Change) {}); err == nil || !strings.Contains(err.Error(), "at work on bridge br-t") {
		t.Errorf("up: %v", err)
	}
}

func TestAHundredGuests(t *testing.T) {
	enter(t)
	text := "subnet: 10.77.0.0/24\nsubnet6: fd77:1:2:3::/64\nguests:\n"
	for i := range 100 {
		text += fmt.Sprintf("  - name: guest%d\n", i)
	}
	s := read(t, text)
	start := time.Now()
	up(t, s)
	t.Logf("100 guests are up in %v", time.Since(start))
	if again := up(t, s); again != "" {
		t.Errorf("the second time:\n%s", again)
	}
	start = time.Now()
	down(t, s.Bridge)
	t.Logf("and down in %v", time.Since(start))
	if left := devices(t); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
}

func TestStatusShowsWhoIsThere(t *testing.T) {
	enter(t)
	s := read(t, twoGuests)
	st, err := Look(s)
	if err != nil {
		t.Fatal(err)
	}
	if st.State != "missing" || st.Ports[0].State != "missing" || st.Pending == 0 {
		t.Errorf("before: %+v", st)
	}
	up(t, s)
	plug(t, "tap-two")
	if st, err = Look(s); err != nil {
		t.Fatal(err)
	}
	if st.State != "up" || st.Ports[0].State != "idle" || st.Ports[1].State != "in use" || st.Pending != 0 {
		t.Errorf("after: %+v", st)
	}
}

// Without the file, what up has made is found by what it has left.
func TestDownWithoutTheFileFindsWhatUpMade(t *testing.T) {
	enter(t)
	if err := ip("ip link add br-x type bridge"); err != nil {
		t.Fatal(err)
	}
	if list, err := Bridges(); err != nil || len(list) > 0 {
		t.Errorf("%v, %v", list, err)
	}
	err := Down("br-x", true, func(c change.Change) { t.Errorf("changed: %v", &c) })
	if err == nil || !strings.Contains(err.Error(), "interface br-x is there and was not made by appliance host up") {
		t.Errorf("another's bridge: %v", err)
	}
	up(t, read(t, twoGuests))
	other := strings.NewReplacer("br-t", "br-u", "10.77.0", "10.78.0", "fd77:1", "fd78:1", "one", "three", "two", "four").Replace(twoGuests)
	up(t, read(t, other))
	if err := ip("ip link del br-u"); err != nil { // its taps are left
		t.Fatal(err)
	}
	if list, err := Bridges(); err != nil || !slices.Equal(list, []string{"br-t", "br-u"}) {
		t.Errorf("%v, %v", list, err)
	}
	down(t, "br-u")
	down(t, "br-t")
	if got := devices(t); !slices.Equal(got, []string{"br-x"}) {
		t.Errorf("left: %v", got)
	}
	if list, err := Bridges(); err != nil || len(list) > 0 {
		t.Errorf("%v, %v", list, err)
	}
}
