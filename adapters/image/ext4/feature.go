package ext4

import (
	"fmt"
	"strings"

	"github.com/fsva/fsva/vfs"
)

// Features that change how something is read. Each flag is of the superblock's
// field that its name has in it.
const (
	compatSparseSuper2 = 0x200

	incompatFiletype   = 0x2
	incompatRecover    = 0x4
	incompatJournalDev = 0x8
	incompatMetaBG     = 0x10
	incompat64bit      = 0x80
	incompatEAInode    = 0x400
	incompatCsumSeed   = 0x2000
	incompatLargedir   = 0x4000

	roCompatSparseSuper  = 0x1
	roCompatHugeFile     = 0x8
	roCompatMetadataCsum = 0x400
)

// incompatKnown are those with which everything can still be found: filetype,
// meta_bg, extents, 64bit, mmp, flex_bg, ea_inode, metadata_csum_seed, large_dir,
// inline_data, encrypt (files that are not are readable) and casefold.
const incompatKnown = incompatFiletype | incompatMetaBG | 0x40 | incompat64bit | 0x100 | 0x200 | incompatEAInode |
	incompatCsumSeed | incompatLargedir | 0x8000 | 0x10000 | 0x20000

// incompatNames are for what is refused, as dumpe2fs(8) calls it.
var incompatNames = map[uint32]string{0x1: "compression", incompatJournalDev: "journal_dev", 0x1000: "dirdata"}

// checkFeatures refuses what is not understood. Unknown flags of the other two
// fields do no harm to who only reads (Documentation/filesystems/ext4/super.rst).
func checkFeatures(incompat uint32) error {
	if incompat&incompatJournalDev != 0 {
		return vfs.Errorf(vfs.EOPNOTSUPP, "this is the external journal of an ext4 file system, not the file system")
	}
	if incompat&incompatRecover != 0 {
		return vfs.Errorf(vfs.EBUSY, "its journal holds changes that are not in their places yet, since it was not unmounted; "+
			"run e2fsck -p on the image, or mount and unmount it once")
	}
	var unknown []string
	for bit := uint32(1); bit != 0; bit <<= 1 {
		if incompat&^incompatKnown&bit == 0 {
			continue
		}
		name := incompatNames[bit]
		if name == "" {
			name = fmt.Sprintf("FEATURE_I%#x", bit)
		}
		unknown = append(unknown, name)
	}
	if len(unknown) > 0 {
		return vfs.Errorf(vfs.EOPNOTSUPP, "the file system uses %s, which cannot be read here; mount the image and serve it as host:", strings.Join(unknown, " and "))
	}
	return nil
}
