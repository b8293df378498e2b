package git

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"

	"github.com/go-git/go-git/v5/plumbing"
)

// A revision is a name and steps to ancestors: main, v1.2~3, HEAD^2~1.
var (
	revision = regexp.MustCompile(`^([^\s~^:?*\[\\]+)((?:[~^][0-9]{0,9})*)$`)
	step     = regexp.MustCompile(`[~^][0-9]*`)
)

// CheckRevision says what is wrong with a revision as far as it shows without
// the repository. A revision is a branch, a tag, another ref or the name of a
// commit, whole or from its beginning, with ~N or ^N behind it for ancestors
// (gitrevisions(7)); HEAD or @ is what is checked out.
func CheckRevision(rev string) error {
	if !revision.MatchString(rev) {
		return fmt.Errorf("%q is no revision: name a branch, a tag or a commit, with ~N or ^N behind it for its ancestors", rev)
	}
	return nil
}

// fixed reports that a revision always means the same.
func fixed(rev string) bool {
	parts := revision.FindStringSubmatch(rev)
	return parts != nil && plumbing.IsHash(parts[1])
}

// resolve finds the commit, or tree, that a revision means with these refs.
func (f *FS) resolve(ctx context.Context, rev string, refs map[string]plumbing.Hash) (*commit, error) {
	if err := CheckRevision(rev); err != nil {
		return nil, err
	}
	parts := revision.FindStringSubmatch(rev)
	c, err := f.named(ctx, parts[1], refs)
	for _, s := range step.FindAllString(parts[2], -1) {
		n := 1
		if s[1:] != "" {
			n, _ = strconv.Atoi(s[1:]) // nine digits, at most
		}
		if s[0] == '^' {
			c, err = f.parent(ctx, c, err, n)
			continue
		}
		for ; n > 0 && err == nil; n-- {
			c, err = f.parent(ctx, c, err, 1)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("revision %q: %w", rev, err)
	}
	return c, nil
}

// parent returns the n-th parent of a commit, counted from 1; 0 is the commit.
func (f *FS) parent(ctx context.Context, c *commit, err error, n int) (*commit, error) {
	switch {
	case err != nil || n == 0:
		return c, err
	case n > len(c.parents):
		return nil, fmt.Errorf("commit %s has %d parents", c.id, len(c.parents))
	}
	return f.peel(ctx, c.parents[n-1])
}

// named finds what a name stands for, in the order of gitrevisions(7): a whole
// object name, a ref, the beginning of an object name.
func (f *FS) named(ctx context.Context, name string, refs map[string]plumbing.Hash) (*commit, error) {
	if plumbing.IsHash(name) {
		return f.peel(ctx, plumbing.NewHash(name))
	}
	if name == "@" {
		name = "HEAD"
	}
	for _, rule := range plumbing.RefRevParseRules {
		if id, ok := refs[fmt.Sprintf(rule, name)]; ok {
			return f.peel(ctx, id)
		}
	}
	ids, err := f.objects.WithPrefix(name)
	if err != nil {
		return nil, err
	}
	var found *commit
	for _, id := range ids {
		c, err := f.peel(ctx, id)
		switch {
		case errors.Is(err, errNoTree):
			continue
		case err != nil:
			return nil, err
		case found != nil && c.id != found.id:
			return nil, fmt.Errorf("several commits begin with %s", name)
		}
		found = c
	}
	if found == nil {
		return nil, fmt.Errorf("there is no branch, tag or commit %q", name)
	}
	return found, nil
}
