package git

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/format/config"
)

// repository is where a repository keeps what is read here
// (gitrepository-layout(5)).
type repository struct {
	gitDir string // HEAD
	common string // objects and refs; the same unless this is a worktree
}

// findRepository finds the repository at path: a bare one, a checkout with
// .git in it, or a worktree or submodule, whose .git is a file.
func findRepository(path string) (repository, error) {
	if _, err := os.Stat(path); err != nil {
		return repository{}, err
	}
	gitDir := filepath.Join(path, ".git")
	switch st, err := os.Stat(gitDir); {
	case errors.Is(err, fs.ErrNotExist):
		gitDir = path
	case err != nil:
		return repository{}, err
	case !st.IsDir():
		if gitDir, err = pathIn(gitDir, "gitdir: "); err != nil {
			return repository{}, err
		}
	}
	r := repository{gitDir: gitDir, common: gitDir}
	common, err := pathIn(filepath.Join(gitDir, "commondir"), "")
	switch {
	case err == nil:
		r.common = common
	case !errors.Is(err, fs.ErrNotExist):
		return repository{}, err
	}
	for _, part := range []string{filepath.Join(r.gitDir, "HEAD"), r.objects(), filepath.Join(r.common, "refs")} {
		if _, err := os.Stat(part); err != nil {
			return repository{}, fmt.Errorf("it is no git repository: %w", err)
		}
	}
	return r, r.checkFormat()
}

// pathIn is the path that a file holds behind a prefix, relative to the file.
func pathIn(file, prefix string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	path, ok := strings.CutPrefix(strings.TrimSpace(string(text)), prefix)
	if !ok || path == "" {
		return "", fmt.Errorf("%s does not say %q and a path", file, prefix)
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(file), path)
	}
	return path, nil
}

func (r *repository) objects() string { return filepath.Join(r.common, "objects") }

// checkFormat refuses what is stored in ways that are not read here.
func (r *repository) checkFormat() error {
	f, err := os.Open(filepath.Join(r.common, "config"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	c := config.New()
	if err := config.NewDecoder(f).Decode(c); err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	if v := c.Section("core").Option("repositoryformatversion"); v != "" && v != "0" && v != "1" {
		return fmt.Errorf("its format is version %s; 0 and 1 are known", v)
	}
	extensions := c.Section("extensions")
	if v := extensions.Option("objectformat"); v != "" && v != "sha1" {
		return fmt.Errorf("its objects have %s names; only sha1 is supported", v)
	}
	if v := extensions.Option("refstorage"); v != "" && v != "files" {
		return fmt.Errorf("its refs are kept as %q; only files are supported", v)
	}
	return nil
}
