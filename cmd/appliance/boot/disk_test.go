package boot

import (
	"strings"
	"testing"
)

func TestDataDiskIsLookedForBeforeOneIsFormatted(t *testing.T) {
	vda := func(kind, label string) disk { return disk{name: "vda", content: content{kind, label}} }
	vdb := func(kind, label string) disk { return disk{name: "vdb", content: content{kind, label}} }
	for _, c := range []struct {
		name, format string
		disks        []disk
		data         string // its name
		blank        bool
		problem      string
	}{
		{"none", "", nil, "", false, ""},
		{"it is there", "", []disk{vda("ext4", dataLabel)}, "vda", false, ""},
		{"it was formatted at an earlier boot", "vda", []disk{vda("ext4", dataLabel)}, "vda", false, ""},
		{"a blank disk has taken its name", "vda", []disk{vda("", ""), vdb("ext4", dataLabel)}, "vdb", false, ""},
		{"a configuration drive has taken its name", "vda", []disk{vda("iso9660", cloudLabel), vdb("ext4", dataLabel)}, "vdb", false, ""},
		{"its name is gone", "vda", []disk{vdb("xfs", dataLabel)}, "vdb", false, ""},
		{"a blank one, and nobody asks", "", []disk{vda("", "")}, "", false, ""},
		{"a blank one is named", "vdb", []disk{vda("iso9660", cloudLabel), vdb("", "")}, "vdb", true, ""},
		{"another one is named", "vda", []disk{vda("iso9660", cloudLabel), vdb("", "")}, "", false, `not blank but holds iso9660 labelled "cidata"`},
		{"none has the name", "vdc", []disk{vda("", "")}, "", false, "there is no such disk"},
		{"two have the label", "vda", []disk{vda("ext4", dataLabel), vdb("ext4", dataLabel)}, "", false, "all have the label"},
	} {
		t.Run(c.name, func(t *testing.T) {
			data, blank, err := chooseData(c.format, c.disks)
			name := ""
			if data != nil {
				name = data.name
			}
			if name != c.data || blank != c.blank {
				t.Errorf("data disk %q, to be formatted %v", name, blank)
			}
			if (err == nil) != (c.problem == "") || err != nil && !strings.Contains(err.Error(), c.problem) {
				t.Errorf("error %v", err)
			}
		})
	}
}
