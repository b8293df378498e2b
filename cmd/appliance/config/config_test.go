package config

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fsva/fsva/internal/strictyaml"
)

// write makes a configuration file and returns its path.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fsva.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFileSetsEverySetting(t *testing.T) {
	c := Default()
	err := c.ReadFile(write(t, `
nfs: 10.77.0.1:2050
admin: off
state: /var/lib/other
lease: 10s
grace: 1m
log-level: debug
exports:
  - name: data
    url: host:/srv/a,b
    ro: true
    squash: all
    anonuid: 1000
    anongid: 1001
    clients: [10.77.0.0/16, 10.78.0.1]
    sync: true
    sec: sys
    exclusive: no
    cache: guest
  - src=mem:?size=1M,squash=none
`))
	if err != nil {
		t.Fatal(err)
	}
	if errs := c.Check(); errs != nil {
		t.Fatal(errs)
	}
	if c.NFS != "10.77.0.1:2050" || c.Admin != Off || c.State != "/var/lib/other" || c.LogLevel != "debug" {
		t.Errorf("%+v", c)
	}
	if time.Duration(c.Lease) != 10*time.Second || c.GracePeriod() != time.Minute {
		t.Errorf("lease %v grace %v", c.Lease, c.GracePeriod())
	}
	data, err := c.Exports[0].Spec()
	if err != nil {
		t.Fatal(err)
	}
	if data.Name != "data" || data.URL != "host:/srv/a,b" || !data.ReadOnly || data.Squash.String() != "all" ||
		data.AnonUID != 1000 || data.AnonGID != 1001 || len(data.Clients) != 2 || !data.Sync || data.Exclusive || data.Cache.String() != "guest" {
		t.Errorf("%+v", data)
	}
	const options = "ro,sync,squash=all,anonuid=1000,anongid=1001,clients=10.77.0.0/16+10.78.0.1,sec=sys,cache=guest,exclusive=off"
	if got := c.Exports[0].Options(); got != options {
		t.Errorf("options %s", got)
	}
	src, err := c.Exports[1].Spec()
	if err != nil || src.Name != "src" || src.URL != "mem:?size=1M" || src.Squash.String() != "none" {
		t.Errorf("%+v, %v", src, err)
	}
}

func TestEmptyFileMeansDefaults(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "---\n"} {
		c := Default()
		if err := c.ReadFile(write(t, text)); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if c.NFS != DefaultNFS || c.GracePeriod() != 90*time.Second {
			t.Errorf("%q: %+v", text, c)
		}
	}
}

// Each error names the line; FILE stands for the path.
func TestWrongFilesAreRefusedByLineAndKey(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"unknown key", "nfs: 127.0.0.1:1\nleese: 10s\n", []string{`FILE:2: unknown key "leese"; did you mean "lease"?`}},
		{"unknown key far from all", "colour: red\n", []string{`FILE:1: unknown key "colour"; known here: exports, nfs,`}},
		{"unknown key of an export", "exports:\n- name: a\n  url: 'mem:'\n  sqash: all\n", []string{`FILE:4: unknown key "sqash"; did you mean "squash"?`}},
		{"all at once", "a: 1\nlease: soon\nexports:\n- nmae: x\n", []string{`FILE:1: unknown key "a"`, `FILE:2: "soon" is not a duration`, `FILE:4: unknown key "nmae"`}},
		{"wrong kind", "exports: 5\n", []string{"FILE:1: found `5` where a list belongs"}},
		{"not a mapping", "- a\n", []string{"FILE:1: found a list where a mapping of keys to values belongs"}},
		{"number", "exports:\n- name: a\n  url: mem\n  anonuid: -1\n", []string{"FILE:4: found `-1` where a number from 0 to 4294967295 belongs"}},
		{"truth", "exports:\n- name: a\n  url: mem\n  ro: maybe\n", []string{"FILE:4: found `maybe` where true or false belongs"}},
		{"key twice", "lease: 1s\nlease: 2s\n", []string{"FILE:2: mapping key"}},
		{"two documents", "lease: 1s\n---\nlease: 2s\n", []string{"FILE:2: a second document"}},
		{"broken syntax", "nfs: [\n", []string{"FILE:"}},
		{"address", "\nnfs: localhost:nfs\n", []string{`FILE:2: nfs: "localhost:nfs" is not an address IP:PORT`}},
		{"same address", "nfs: 127.0.0.1:5\nadmin: 127.0.0.1:5\n", []string{"FILE:2: admin: 127.0.0.1:5 is the address of NFS already"}},
		{"lease", "lease: 0s\n", []string{"FILE:1: lease: 0s is not between"}},
		{"grace", "grace: 2h\n", []string{"FILE:1: grace: 2h0m0s is not between"}},
		{"log level", "log-level: loud\n", []string{`FILE:1: log-level: "loud" is none of`}},
		{"export without name", "exports:\n- url: 'mem:'\n", []string{"FILE:2: exports[0]: an export needs a name"}},
		{"export without url", "exports:\n- name: a\n", []string{`FILE:2: exports[0]: export "a" has no url`}},
		{"export text ends in a colon", "exports:\n- a=mem:\n", []string{`FILE:2: unknown key "a=mem"; put the text in quotes`}},
		{"export twice", "exports:\n- a=mem\n- 'a=mem:'\n", []string{"FILE:3: exports[1]: two exports have the name a"}},
		{"scheme", "exports:\n- 'a=ftp:'\n", []string{"FILE:2: exports[0]", `"ftp:" is no known kind of file system`}},
		{"squash", "exports:\n- {name: a, url: 'mem:', squash: some}\n", []string{`FILE:2: exports[0]`, `"some" is none of`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := write(t, c.text)
			cfg := Default()
			err := cfg.ReadFile(path)
			if err == nil {
				if errs := cfg.Check(); errs != nil {
					err = errs
				}
			}
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range c.want {
				if want = strings.ReplaceAll(want, "FILE", path); !strings.Contains(err.Error(), want) {
					t.Errorf("got  %v\nwant %s", err, want)
				}
			}
		})
	}
}

func TestFileThatIsNoConfigurationIsNotRead(t *testing.T) {
	for path, want := range map[string]string{
		filepath.Join(t.TempDir(), "none.yaml"): "no such file",
		t.TempDir():                             "is a directory",
	} {
		err := Default().ReadFile(path)
		if err == nil || strings.Count(err.Error(), path) != 1 || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if err := Default().ReadFile(write(t, strings.Repeat("#", strictyaml.MaxFile+1))); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("huge file: %v", err)
	}
}

func TestErrorsOfFlagsNameTheFlag(t *testing.T) {
	c := Default()
	if err := c.ReadFile(write(t, "lease: 10s\nexports:\n- a=mem\n")); err != nil {
		t.Fatal(err)
	}
	c.Lease, c.Exports = 0, []Export{ExportFlag("nonsense")}
	c.Set("lease", "--lease")
	c.Set("exports", "--export")
	text := c.Check().Error()
	for _, want := range []string{"--lease: 0s", `--export: export "nonsense" is not of the form`} {
		if !strings.Contains(text, want) {
			t.Errorf("%q not in %q", want, text)
		}
	}
}

// The schema, the reader and the struct have the same keys.
func TestSchemaDescribesEveryKey(t *testing.T) {
	b, err := json.Marshal(Schema())
	if err != nil {
		t.Fatal(err)
	}
	type object struct {
		Properties           map[string]struct{ Description string }
		AdditionalProperties *bool
		Required             []string
	}
	var top object
	var inner struct {
		Properties struct {
			Exports struct{ Items struct{ AnyOf []object } }
		}
	}
	if json.Unmarshal(b, &top) != nil || json.Unmarshal(b, &inner) != nil || len(inner.Properties.Exports.Items.AnyOf) != 2 {
		t.Fatalf("schema is %s", b)
	}
	export := inner.Properties.Exports.Items.AnyOf[0]
	if !slices.Equal(export.Required, []string{"name", "url"}) {
		t.Errorf("required: %v", export.Required)
	}
	for typ, o := range map[reflect.Type]object{reflect.TypeFor[Config](): top, reflect.TypeFor[Export](): export} {
		if o.AdditionalProperties == nil || *o.AdditionalProperties {
			t.Errorf("%v: other keys are allowed", typ)
		}
		keys := strictyaml.Keys(typ)
		if len(keys) != len(o.Properties) {
			t.Errorf("%v has %d keys, the schema %d", typ, len(keys), len(o.Properties))
		}
		for _, f := range keys {
			if o.Properties[f.Key].Description == "" {
				t.Errorf("%s is not described", f.Key)
			}
		}
	}
}

func FuzzReadFile(f *testing.F) {
	f.Add([]byte("nfs: 127.0.0.1:2049\nexports: [{name: a, url: 'mem:'}]\n"))
	f.Add([]byte("a: &x [*x]\n"))
	f.Add([]byte("exports: &e\n- &i {name: a, <<: *i}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c := Default()
		if errs := c.read("f", text); errs == nil {
			c.Check()
		}
	})
}
