package p9fs_test

import (
	"testing"

	"github.com/hugelgupf/p9/fsimpl/localfs"

	p9fs "github.com/fsva/fsva/adapters/p9"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/vfstest"
)

func TestContractOfLocalfs(t *testing.T) {
	const (
		onlySizes = "localfs sets sizes and nothing else"
		byName    = "localfs truncates and reopens by the name, which is gone"
	)
	vfstest.Suite{
		Entries: 2_000,
		Open: func(t *testing.T) vfs.FS {
			return open(t, localfs.Attacher(t.TempDir()), p9fs.Options{SingleUser: true, NoSpecialFiles: true, IndexOffsets: true})
		},
		Limits: map[string]string{
			"create/sets times":                                                 onlySizes,
			"attributes/mode is set":                                            onlySizes,
			"attributes/times are set to the nanosecond":                        onlySizes,
			"attributes/times are set to now":                                   onlySizes,
			"attributes/follow what is done to the file":                        onlySizes,
			"change/moves with every change of a file":                          onlySizes,
			"rename/replaces an empty directory only":                           "localfs uses os.Rename, which replaces no directory",
			"unlinked/files that are open go on":                                byName,
			"unlinked/files are found and opened by handle while they are open": byName,
		},
	}.Run(t)
}
