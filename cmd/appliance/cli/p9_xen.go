package cli

import (
	"fmt"
	"strings"

	"github.com/fsva/fsva/server/p9"
	"github.com/fsva/fsva/server/p9/xen"
)

// openXen connects to the hypervisor that this machine is a domain of.
func (a *appliance) openXen(d *p9Door) error {
	b, err := xen.Open(xen.Config{
		Log: a.log,
		NewChannel: func(about xen.Device) (xen.Channel, error) {
			name, err := a.xenExport(d.Export, about.Path)
			if err != nil {
				return nil, err
			}
			return a.p9.NewChannel(about.String(), p9.ChannelOptions{Export: name, MaxMessage: about.MaxMessage}), nil
		},
	})
	if err != nil {
		return err
	}
	d.device = b
	a.onStop(b.Close)
	return nil
}

// xenExport is the export that a device has: what the address names, or the
// path in the configuration of its domain, which may say / where there is only
// one.
func (a *appliance) xenExport(only, path string) (string, error) {
	if only != "" {
		return only, nil
	}
	name := strings.TrimPrefix(path, "/")
	if list := a.exports.table.List(); name == "" && len(list) == 1 {
		name = list[0].Name
	}
	if a.exports.table.ByName(name) == nil {
		return "", fmt.Errorf("there is no export for the path %q of the device; path=/NAME in its domain's configuration names one", path)
	}
	return name, nil
}
