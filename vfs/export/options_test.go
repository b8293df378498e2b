package export

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	tests := []struct {
		arg  string
		want func(*Spec)
	}{
		{"data=host:/srv/data", func(*Spec) {}},
		{"data=host:/srv/data,ro,sync", func(s *Spec) { s.ReadOnly, s.Sync = true, true }},
		{"data=host:/srv/data,squash=none", func(s *Spec) { s.Squash = SquashNone }},
		{"data=host:/srv/data,squash=all,anonuid=7,anongid=4294967294", func(s *Spec) {
			s.Squash, s.AnonUID, s.AnonGID = SquashAll, 7, 4294967294
		}},
		{"data=host:/srv/data,clients=10.77.0.0/16+fd00::/8+192.0.2.1", func(s *Spec) {
			s.Clients = []netip.Prefix{
				netip.MustParsePrefix("10.77.0.0/16"), netip.MustParsePrefix("fd00::/8"), netip.MustParsePrefix("192.0.2.1/32"),
			}
		}},
		{"data=host:/srv/data,clients=@web1+192.0.2.1+@db", func(s *Spec) {
			s.Clients, s.Guests = []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}, []string{"web1", "db"}
		}},
		{"data=host:/srv/data,sec=sys,exclusive", func(*Spec) {}},
		{"data=host:/srv/data,exclusive=on", func(*Spec) {}},
		{"data=host:/srv/data,exclusive=off", func(s *Spec) { s.Exclusive = false }},
		{"data=host:/srv/data,noexclusive,cache=guest", func(s *Spec) { s.Exclusive, s.Cache = false, CacheGuest }},
	}
	for _, tt := range tests {
		got, err := Parse(tt.arg)
		if err != nil {
			t.Errorf("%s: %v", tt.arg, err)
			continue
		}
		want := Spec{Name: "data", URL: "host:/srv/data", Options: DefaultOptions()}
		tt.want(&want)
		got.given = nil
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", tt.arg, got, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct{ arg, says string }{
		{"data", "NAME=URL"},
		{"=host:/x", "needs a name"},
		{"..=host:/x", `cannot be named ".."`},
		{"a/b=host:/x", `has '/' in it`},
		{strings.Repeat("n", 65) + "=host:/x", "longer than 64"},
		{"data=", "no URL"},
		{"data=,ro", "no URL"},
		{"data=host:/x,", "unknown option"},
		{"data=host:/x,rw", `unknown option "rw"; known are anongid, anonuid, cache, clients, exclusive, noexclusive, ro, sec, squash, sync`},
		{"data=host:/x,qos=fast", "not served yet"},
		{"data=host:/x,sec=sys+tls", `"sys+tls" is not served yet`},
		{"data=host:/x,ro=yes", "takes no value"},
		{"data=host:/x,squash", "needs a value"},
		{"data=host:/x,exclusive=", "needs a value"},
		{"data=host:/x,exclusive=maybe", "neither on nor off"},
		{"data=host:/x,squash=some", `"some" is none of none, root, all`},
		{"data=host:/x,ro,ro", "given twice"},
		{"data=host:/x,exclusive,noexclusive", "said twice"},
		{"data=host:/x,anonuid=4294967295", "not a user or group id"},
		{"data=host:/x,anongid=-1", "not a user or group id"},
		{"data=host:/x,clients=everyone", "neither an address nor a network"},
		{"data=host:/x,clients=10.77.0.1+@", "needs the name of a guest"},
		{"data=host:/x,clients=10.77.0.1/16", "the network is 10.77.0.0/16"},
		{"data=host:/x,clients=::ffff:10.0.0.0/104", "write it as IPv4"},
		{"data=host:/x,cache=disk", "is none of both, guest, appliance"},
	}
	for _, tt := range tests {
		if _, err := Parse(tt.arg); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v; want it to say %q", tt.arg, err, tt.says)
		}
	}
}

func TestGivenTellsWhatTheOperatorSaid(t *testing.T) {
	s, err := Parse("data=mem:,squash=root")
	if err != nil {
		t.Fatal(err)
	}
	if !s.Given("squash") || s.Given("ro") {
		t.Errorf("given: %v", s.given)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("data=host:/srv/data,ro,squash=all,clients=10.0.0.0/8+::1")
	f.Fuzz(func(t *testing.T, arg string) {
		if s, err := Parse(arg); err == nil && (CheckName(s.Name) != nil || s.URL == "") {
			t.Errorf("%q: %+v", arg, s)
		}
	})
}
