package adapters

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckNamesWhatIsWrongWithAURL(t *testing.T) {
	for url, want := range map[string]string{
		"host:/srv/data":     "",
		"host:/srv/a,b":      "",
		"mem:":               "",
		"mem":                "",
		"mem:?size=64M":      "",
		"mem:?size=4096":     "",
		"":                   "no known kind",
		"/srv/data":          "known are git: and host: and image: and mem: and tar: and zip:",
		"ftp://host/dir":     "known are git: and host: and image: and mem: and tar: and zip:",
		"host:":              "absolute path",
		"host:srv":           "absolute path",
		"host:/srv?x=y":      "takes no keys",
		"mem:/tmp":           "nothing can follow",
		"mem:?sise=1G":       `unknown key "sise"`,
		"mem:?size=":         "not a size",
		"mem:?size=-1":       "not a size",
		"mem:?size=0":        "not a size",
		"mem:?size=1KK":      "not a size",
		"mem:?size=9000000T": "not a size",
		"mem:?size=1&size=2": "given twice",
		"mem:?size=%zz":      "malformed",
		"tar:/srv/a.tar":     "",
		"tar:a.tar":          "absolute path",
		"tar:/a?unpacked=1T": "",
		"tar:/a?unpacked=0":  "not a size",
		"tar:/a?spool=1G":    "unknown key",
		"zip:/srv/a.zip":     "",
		"zip:":               "absolute path",
		"zip:a.zip":          "absolute path",
		"zip:/srv/a.zip?x=1": "nothing can follow",
		"s3://bucket/dir":    "appliance-full",

		"image:/srv/disk.img":             "",
		"image:/srv/disk.img?part=2":      "",
		"image:disk.img":                  "absolute path",
		"image:/srv/disk.img?part=":       "not the number of a partition",
		"image:/srv/disk.img?part=0":      "not the number of a partition",
		"image:/srv/disk.img?partition=1": `unknown key "partition"`,

		"git:/srv/repo":                     "",
		"git:/srv/repo?rev=v1.2~3":          "",
		"git:/srv/repo?rev=HEAD^2&spool=1G": "",
		"git:repo":                          "absolute path",
		"git:/srv/repo?rev=":                "no revision",
		"git:/srv/repo?rev=main:docs":       "no revision",
		"git:/srv/repo?ref=main":            `unknown key "ref"`,
		"git:/srv/repo?spool=lots":          "not a size",
	} {
		err := Check(url)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", url, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q in it", url, err, want)
		}
	}
}

func TestSizesHaveBinarySuffixes(t *testing.T) {
	for text, want := range map[string]int64{"1": 1, "3K": 3 << 10, "2M": 2 << 20, "5G": 5 << 30, "1T": 1 << 40} {
		_, src, err := parse("mem:?size=" + text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := src.size("size"); got != want || err != nil {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
}

func TestOnlyMemoryIsVolatile(t *testing.T) {
	if !Volatile("mem:") || !Volatile("mem:?size=1G") || Volatile("host:/srv") || Volatile("nothing:") {
		t.Error("wrong kind taken for volatile")
	}
}

func TestOpenGivesAFileSystemOrAnError(t *testing.T) {
	for url, ok := range map[string]bool{
		"mem:?size=1M":        true,
		"host:" + t.TempDir(): true,
		"host:" + filepath.Join(t.TempDir(), "missing"): false,
		"mem:/tmp": false,
		"ftp:":     false,
	} {
		fs, err := Open(t.Context(), url, Env{})
		if (err == nil) != ok || (fs != nil) != ok { // not an interface around nil
			t.Errorf("%s: %v, %v", url, fs, err)
			continue
		}
		if !ok {
			continue
		}
		if caps := fs.Caps(); caps.Volatile != Volatile(url) {
			t.Errorf("%s: the file system and its URL differ about being volatile", url)
		}
		if err := fs.Close(); err != nil {
			t.Errorf("%s: close: %v", url, err)
		}
	}
}
