package guest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// greeting is a program of two packages.
var greeting = map[string]string{
	"go.mod":           "module hello\n",
	"main.go":          "package main\n\nimport \"hello/text\"\n\nfunc main() { println(text.Greeting) }\n",
	"text/greeting.go": "package text\n\nconst Greeting = \"built on the mount\"\n",
}

// compileScript builds a program with its source and the build cache on the
// mount.
func compileScript(t *testing.T) string {
	source, cache := filepath.Join(t.TempDir(), "hello"), filepath.Join(t.TempDir(), "cache")
	for name, text := range greeting {
		path := filepath.Join(source, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// To compile the runtime in a guest takes minutes, so it comes from here.
	goTool := filepath.Join(filepath.Dir(goroot(t)), "bin", "go")
	settings := []string{"GOFLAGS=-mod=mod", "GOPROXY=off", "GOTOOLCHAIN=local", "CGO_ENABLED=0", "GOWORK=off"}
	compileRuntime := exec.Command(goTool, "build", "runtime")
	compileRuntime.Env = append(append(os.Environ(), settings...), "GOCACHE="+cache)
	if out, err := compileRuntime.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", compileRuntime, err, out)
	}
	return "cp -r " + cache + " cache\ncp -r " + source + " hello\n" +
		"export GOCACHE=$PWD/cache " + strings.Join(settings, " ") + "\n" +
		"cd hello\n" + goTool + " build -x -o hello ."
}

func checkCompiled(t *testing.T, s site, _ string) {
	s.forget(t)
	s.g.Run(t, s.mnt+"/hello/hello 2>&1 | grep -x 'built on the mount'")
}
