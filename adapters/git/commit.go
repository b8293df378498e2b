package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/fsva/fsva/vfs"
)

// commit is what is needed of a commit. A tag of a tree is one, too, and a tree
// by itself, without parents.
type commit struct {
	id      plumbing.Hash // of the commit or tree
	tree    plumbing.Hash
	parents []plumbing.Hash
	time    vfs.Timespec // of the committer; of the tag, if it is one of a tree
}

const (
	maxCommit = 16 << 20 // bytes of a commit or tag
	maxPeel   = 64       // tags of tags
)

// errNoTree says that a ref points to what has no tree, such as a blob.
var errNoTree = errors.New("it is neither a commit nor a tree")

// peel finds the commit or tree that an object is or, as a tag, leads to.
func (f *FS) peel(ctx context.Context, id plumbing.Hash) (*commit, error) {
	if c, ok := f.commits.Get(id); ok {
		return c, nil
	}
	var tagged vfs.Timespec
	at := id
	for range maxPeel {
		typ, text, err := f.objects.Read(ctx, at, max(maxCommit, maxTree))
		if err != nil {
			return nil, err
		}
		h := headersOf(text)
		switch typ {
		case plumbing.CommitObject:
			c, err := h.commit()
			if err != nil {
				return nil, fmt.Errorf("commit %s: %w", at, err)
			}
			c.id = at
			f.commits.Add(id, c)
			return c, nil
		case plumbing.TreeObject:
			c := &commit{id: at, tree: at, time: tagged}
			f.commits.Add(id, c)
			return c, nil
		case plumbing.TagObject:
			target, ok := h.id("object ")
			if !ok {
				return nil, fmt.Errorf("tag %s: %w", at, errMalformed)
			}
			tagged = h.time("tagger ")
			at = target
		default:
			return nil, fmt.Errorf("object %s: %w", at, errNoTree)
		}
	}
	return nil, fmt.Errorf("tag %s: %w: too many tags of tags", id, errMalformed)
}

var errMalformed = errors.New("it is malformed; see git fsck")

// headers are the lines that a commit or tag begins with.
type headers [][]byte

// maxHeaders bounds the lines, of which parents can be many.
const maxHeaders = 4096

func headersOf(text []byte) headers {
	var h headers
	for line := range bytes.Lines(text) {
		if len(line) == 1 || len(h) == maxHeaders {
			break
		}
		h = append(h, bytes.TrimSuffix(line, []byte("\n")))
	}
	return h
}

func (h headers) id(key string) (plumbing.Hash, bool) {
	for _, line := range h {
		if hex, ok := bytes.CutPrefix(line, []byte(key)); ok {
			return plumbing.NewHash(string(hex)), plumbing.IsHash(string(hex))
		}
	}
	return plumbing.ZeroHash, false
}

// time is that of a line such as "committer A U Thor <author@example.com>
// 1700000000 +0100"; the epoch where there is none.
func (h headers) time(key string) vfs.Timespec {
	for _, line := range h {
		if !bytes.HasPrefix(line, []byte(key)) {
			continue
		}
		fields := bytes.Fields(line[bytes.LastIndexByte(line, '>')+1:])
		if len(fields) == 0 {
			break
		}
		sec, err := strconv.ParseInt(string(fields[0]), 10, 64)
		if err != nil {
			break
		}
		return vfs.Timespec{Sec: sec}
	}
	return vfs.Timespec{}
}

func (h headers) commit() (*commit, error) {
	tree, ok := h.id("tree ")
	if !ok {
		return nil, errMalformed
	}
	c := &commit{tree: tree, time: h.time("committer ")}
	for _, line := range h {
		hex, ok := bytes.CutPrefix(line, []byte("parent "))
		switch {
		case !ok:
			continue
		case !plumbing.IsHash(string(hex)):
			return nil, errMalformed
		}
		c.parents = append(c.parents, plumbing.NewHash(string(hex)))
	}
	return c, nil
}
