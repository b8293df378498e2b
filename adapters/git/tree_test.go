package git

import (
	"slices"
	"strings"
	"testing"

	"github.com/fsva/fsva/vfs"
)

func treeText(items ...string) []byte {
	var b []byte
	for _, it := range items {
		b = append(append(b, it...), "\x00"+strings.Repeat("i", idLen)...)
	}
	return b
}

func TestNamesThatNoDirectoryCanHoldAreLeftOut(t *testing.T) {
	items, leftOut, err := parseTree(treeText("100644 fine", "100644 ..", "40000 .", "100644 a/b", "100644 ", "40000 .GIT", "100644 .git",
		"100644 fine", "100644 "+strings.Repeat("n", 256), "10064x digit", "0 none", "777777777777777777 huge", "20000 device", "100664 old", "120000 link", "160000 module", "40000 dir"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, it := range items {
		got = append(got, it.name)
	}
	if want := []string{"dir", "fine", "link", "module", "old"}; !slices.Equal(got, want) || leftOut != 12 {
		t.Errorf("%q stay and %d are left out, want %q", got, leftOut, want)
	}
}

// A tree takes no more memory than its items do, whatever zeroes are in it.
func TestZeroesInATreeTakeNoRoom(t *testing.T) {
	var text []byte
	for range 1000 {
		text = append(append(text, "100644 the same name\x00"...), make([]byte, idLen)...)
	}
	items, _, err := parseTree(text)
	if err != nil || len(items) != 1 || cap(items) != 1000 {
		t.Errorf("%d items with room for %d, %v", len(items), cap(items), err)
	}
	if w := (&directory{items: items}).weight(); w < 1000*56 {
		t.Errorf("the room for %d items weighs %d", cap(items), w)
	}
}

// FuzzTree takes whatever apart as a tree and as a commit. What comes out must
// be a directory.
func FuzzTree(f *testing.F) {
	f.Add(treeText("100644 a", "40000 b"))
	f.Add([]byte("tree 0123456789012345678901234567890123456789\nparent 0123456789012345678901234567890123456789\ncommitter A <a@b> 1700000000 +0100\n\nx"))
	f.Add([]byte("committer > 9999999999999999999999\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		headersOf(text).commit()
		headersOf(text).time("tagger ")
		items, _, err := parseTree(text)
		if err != nil {
			return
		}
		for i, it := range items {
			if vfs.CheckName(it.name) != nil || i > 0 && items[i-1].name >= it.name {
				t.Errorf("item %d is named %q", i, it.name)
			}
		}
	})
}
