package guest_test

import (
	"testing"

	"github.com/fsva/fsva/tests/guest"
)

func TestExtendedAttributes(t *testing.T) {
	t.Parallel()
	each(t, newestV4, func(t *testing.T, s site) {
		s.g.Run(t, "cd "+s.mnt+`
			touch file
			mkdir dir
			setfattr -n user.one -v first file
			setfattr -n user.two -v second file
			setfattr -n user.dir -v third dir
			test "$(getfattr --only-values -n user.one file)" = first
			setfattr -n user.one -v changed file
			setfattr -n user.big -v $(printf '%02000d' 0) file
			fails getfattr -n user.none file
			setfattr -x user.two file
			test $(getfattr --only-values -n user.big file | wc -c) = 2000
			setfattr -x user.big file`)
		const want = "# file: dir\nuser.dir=\"third\"\n\n# file: file\nuser.one=\"changed\"\n\n"
		s.same(t, "getfattr -d dir file", want)
	})
}

func TestHolesStayHoles(t *testing.T) {
	t.Parallel()
	each(t, newestV4, func(t *testing.T, s site) {
		sparse := guest.Program(t, "sparse") + " file"
		s.g.Run(t, "cd "+s.mnt+`
			dd if=/dev/urandom of=file bs=64K count=4 status=none
			fallocate -p -o 65536 -l 65536 file
			truncate -s 1M file
			cmp -n 65536 -i 65536:0 file /dev/zero`)
		s.same(t, sparse, "data 0 65536\ndata 131072 131072\n")
		s.g.Run(t, "cd "+s.mnt+" && fallocate -o 524288 -l 65536 file && fallocate -l 2M file && test $(stat -c %s file) = 2097152")
	})
}

func TestCopiesAreEqual(t *testing.T) {
	t.Parallel()
	each(t, everyWay, func(t *testing.T, s site) {
		s.g.Run(t, "cd "+s.mnt+`
			dd if=/dev/urandom of=file bs=1M count=20 status=none
			cp --reflink=auto file copy
			cp --reflink=never file bytes
			cp --sparse=always file sparse
			cat file file > twice`)
		s.same(t, "cmp file copy && cmp file bytes && cmp file sparse && cmp -n 20971520 file twice && cmp -i 0:20971520 file twice && echo equal", "equal\n")
	})
}

func TestAppendersInOneGuestKeepEveryRecord(t *testing.T) {
	t.Parallel()
	each(t, everyWay, func(t *testing.T, s site) {
		w := guest.Program(t, "appendwriter") + " -n 2000"
		s.g.Run(t, "cd "+s.mnt+"\n"+w+" -name a log & A=$!\n"+w+" -name b log & B=$!\nwait $A && wait $B")
		s.same(t, "sort -u log | wc -l && wc -l < log", "4000\n4000\n")
	})
}
