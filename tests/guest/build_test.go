package guest_test

import (
	"path/filepath"
	"testing"
)

func TestGoBuildsOnTheMount(t *testing.T) {
	t.Parallel()
	each(t, newestV4, func(t *testing.T, s site) {
		goTool := filepath.Join(filepath.Dir(goroot(t)), "bin", "go")
		s.g.Run(t, "cd "+s.mnt+`
			mkdir hello cache && cd hello
			printf 'module hello\n' > go.mod
			printf 'package main\n\nfunc main() { println("built on the mount") }\n' > main.go
			export GOCACHE=`+s.mnt+`/cache GOFLAGS=-mod=mod GOPROXY=off GOTOOLCHAIN=local CGO_ENABLED=0
			`+goTool+` build -o hello .
			./hello 2>&1 | grep -x 'built on the mount'`)
	})
}
