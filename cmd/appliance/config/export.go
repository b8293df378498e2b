package config

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/fsva/fsva/adapters"
	"github.com/fsva/fsva/vfs/export"
)

// Export is one file system to serve, in the words of the file. It says the
// same as the flag --export NAME=URL,OPTION,…, whose form a file may use too.
type Export struct {
	Name      string   `yaml:"name" doc:"Guests mount /NAME." required:"true"`
	URL       string   `yaml:"url" doc:"What to serve: host:/DIR or mem:." required:"true"`
	ReadOnly  bool     `yaml:"ro" doc:"Refuse all changes."`
	Squash    string   `yaml:"squash" doc:"Which users become the anonymous one. Without it: root; for mem: served on loopback, none." enum:"none,root,all"`
	AnonUID   *uint32  `yaml:"anonuid" doc:"User id of the anonymous user." default:"65534"`
	AnonGID   *uint32  `yaml:"anongid" doc:"Group id of the anonymous user." default:"65534"`
	Clients   []string `yaml:"clients" doc:"Who may mount it, each an address, a network such as 10.77.0.0/16, or @NAME, a guest of the site. Without any: everybody who reaches the server."`
	Sync      bool     `yaml:"sync" doc:"Make every write durable before it is answered."`
	Security  string   `yaml:"sec" doc:"How callers prove who they are." enum:"sys"`
	Exclusive *bool    `yaml:"exclusive" doc:"Whether nobody but the appliance changes this tree. Without it: yes."`
	Cache     string   `yaml:"cache" doc:"Who keeps file data in memory. Without it: both." enum:"guest,appliance,both"`

	flag string // the whole export as one text, instead of the fields
}

// DefaultExport is served where no export is given.
var DefaultExport = Export{Name: "mem", URL: "mem:"}

// ExportFlag is an export in the form of the flag. Spec says what is wrong
// with it.
func ExportFlag(text string) Export { return Export{flag: text} }

// UnmarshalYAML reads either form.
func (e *Export) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*e = ExportFlag(n.Value)
		return nil
	}
	type fields Export // without this method
	return n.Decode((*fields)(e))
}

// Spec checks the export and returns it as package export knows it. It opens
// nothing, so a directory may still be missing.
func (e *Export) Spec() (export.Spec, error) {
	spec, err := e.parse()
	if err != nil {
		return export.Spec{}, err
	}
	if err := adapters.Check(spec.URL); err != nil {
		return export.Spec{}, fmt.Errorf("export %q: %w", spec.Name, err)
	}
	return spec, nil
}

func (e *Export) parse() (export.Spec, error) {
	if e.flag != "" {
		return export.Parse(e.flag)
	}
	if err := export.CheckName(e.Name); err != nil {
		return export.Spec{}, err
	}
	if e.URL == "" {
		return export.Spec{}, fmt.Errorf("export %q has no url that says where its files are, such as host:/srv/%s", e.Name, e.Name)
	}
	o, err := export.ParseOptions(e.options())
	if err != nil {
		return export.Spec{}, fmt.Errorf("export %q: %w", e.Name, err)
	}
	return export.Spec{Name: e.Name, URL: e.URL, Options: o}, nil
}

// Options returns the options as after the URL of the flag.
func (e *Export) Options() string {
	if e.flag != "" {
		_, options, _ := strings.Cut(e.flag, ",")
		return options
	}
	return strings.Join(e.options(), ",")
}

// options gives the fields in the form of the flag, of which package export
// has the only parser.
func (e *Export) options() (list []string) {
	add := func(key, value string) {
		if value != "" {
			list = append(list, key+"="+value)
		}
	}
	if e.ReadOnly {
		list = append(list, "ro")
	}
	if e.Sync {
		list = append(list, "sync")
	}
	add("squash", e.Squash)
	add("anonuid", decimal(e.AnonUID))
	add("anongid", decimal(e.AnonGID))
	add("clients", strings.Join(e.Clients, "+"))
	add("sec", e.Security)
	add("cache", e.Cache)
	if e.Exclusive != nil {
		add("exclusive", map[bool]string{true: "on", false: "off"}[*e.Exclusive])
	}
	return list
}

func decimal(n *uint32) string {
	if n == nil {
		return ""
	}
	return strconv.FormatUint(uint64(*n), 10)
}
