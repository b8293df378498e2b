package guest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/fsva/fsva/tests/guest"
)

// asACheckout has a shell know git and who commits.
const asACheckout = `export GIT_CONFIG_GLOBAL=/dev/null HOME=/nonexistent
	export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.com GIT_COMMITTER_NAME=c GIT_COMMITTER_EMAIL=c@example.com
	umask 022
`

func TestGuestReadsARepositoryAsGitWouldCheckItOut(t *testing.T) {
	n := guest.NewNetwork(t)
	dir, _ := guest.Dir(t, "repo")
	n.Run(t, asACheckout+`cd `+dir+`
		git init -q -b main work && cd work
		mkdir -p deep/er
		head -c 5000000 /dev/urandom | od -An -tx1 >large
		for i in $(seq 300); do echo $i >deep/er/file.$i; done
		ln -s ../large deep/link
		printf '#!/bin/sh\n' >run && chmod 755 run
		git add . && git commit -qm first && git tag v1
		echo more >>large && echo new >new && git rm -q deep/er/file.7
		git add . && git commit -qm second
		git -c tar.umask=0022 archive v1 --prefix=v1/ | tar -C .. -xf -
		git -c tar.umask=0022 archive main --prefix=main/ | tar -C .. -xf -`)
	srv := guest.StartAppliance(t, n, "git=git:"+dir+"/work,squash=none", "tag=git:"+dir+"/work?rev=v1,squash=none")
	g := guest.Boot(t, n)
	trees := map[string]string{
		g.Mount(t, srv, "vers=4.2", "/git", "/mnt/nfs") + "/branches/main": "main",
		g.Mount(t, srv, "vers=4.1", "/tag", "/mnt/tag"):                    "v1",
		mount9P(t, g, srv, "cache=none", "git", "/mnt/9p") + "/tags/v1":    "v1",
	}
	same := func(when string) {
		t.Helper()
		for at, checkout := range trees {
			want := n.Run(t, "cd "+dir+"/"+checkout+"\n"+treeSums)
			if got := g.Run(t, "cd "+at+"\n"+treeSums); got != want {
				t.Errorf("%s, %s: %s", when, at, firstDifference(got, want))
			}
		}
	}
	same("at first")
	g.Run(t, "! touch /mnt/tag/new 2>/run/why && grep -q 'Read-only' /run/why")

	// What the repository becomes meanwhile is nothing to who reads it.
	n.Run(t, asACheckout+"cd "+dir+"/work && git gc -q --prune=now && git repack -qadf")
	g.Run(t, "echo 3 >/proc/sys/vm/drop_caches")
	same("after a repack")

	srv.Crash(t)
	g.Run(t, "umount /mnt/9p; echo 3 >/proc/sys/vm/drop_caches")
	delete(trees, "/mnt/9p/tags/v1")
	same("after a restart")

	n.Run(t, asACheckout+`cd `+dir+`/work && echo third >third && git add . && git commit -qm third
		rm -rf ../main && git -c tar.umask=0022 archive main --prefix=main/ | tar -C .. -xf -`)
	g.Run(t, "until [ -e /mnt/nfs/branches/main/third ]; do sleep 0.2; done")
	same("after a commit")
}

// TestGuestListsALargeRepository also prints how fast that is, beside the same
// tree as a directory. A guest's first mount starts its client, whatever it is of:
// for that there is one that is not measured with the others.
func TestGuestListsALargeRepository(t *testing.T) {
	n := guest.NewNetwork(t)
	dir, export := guest.Dir(t, "tree")
	const files = 50_000
	n.Run(t, asACheckout+`cd `+dir+`
		for d in $(seq 500); do mkdir d$d; (cd d$d; for f in $(seq 100); do echo $d $f >f$f; done); done
		git init -q --bare -b main ../large.git
		git --git-dir=../large.git --work-tree=. add . && git --git-dir=../large.git --work-tree=. commit -qm all
		git --git-dir=../large.git repack -qad`)
	srv := guest.StartAppliance(t, n, "mem=mem:", export, "git=git:"+dir+"/../large.git?rev=main,squash=none")
	g := guest.Boot(t, n)
	mount := func(name string) (mnt string) {
		start := time.Now()
		mnt = g.Mount(t, srv, "vers=4.2", "/"+name, "/mnt/"+name)
		t.Logf("%s: mounted in %v", name, time.Since(start))
		return mnt
	}
	mount("mem")
	took := make(map[string]time.Duration)
	for _, name := range []string{"git", "tree"} {
		mnt := mount(name)
		start := time.Now()
		if got := strings.TrimSpace(g.Run(t, "find "+mnt+" -type f | wc -l")); got != "50000" {
			t.Errorf("%s: find counts %s files of %d", name, got, files)
		}
		took[name] = time.Since(start)
		t.Logf("%s: find took %v", name, took[name])
	}
	t.Logf("find in git: takes %.2f times as long as in host:", took["git"].Seconds()/took["tree"].Seconds())
}
