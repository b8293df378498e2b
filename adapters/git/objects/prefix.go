package objects

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
)

const (
	minPrefix   = 4 // digits, as in git
	maxPrefixed = 64
)

// WithPrefix returns the objects whose names begin with the given hexadecimal
// digits, 64 of them at most, and none for what cannot be the beginning of a
// name. It does not look for packs that are new.
func (d *DB) WithPrefix(digits string) ([]plumbing.Hash, error) {
	if len(digits) < minPrefix || len(digits) > 2*idLen || strings.Trim(digits, "0123456789abcdef") != "" {
		return nil, nil
	}
	var found []plumbing.Hash
	for _, p := range *d.packs.Load() {
		ids, err := p.withPrefix(digits)
		if err != nil {
			return nil, err
		}
		found = append(found, ids...)
	}
	for _, dir := range d.dirs {
		entries, err := os.ReadDir(filepath.Join(dir, digits[:2]))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			if name := digits[:2] + e.Name(); plumbing.IsHash(name) && strings.HasPrefix(name, digits) {
				found = append(found, plumbing.NewHash(name))
			}
		}
	}
	slices.SortFunc(found, func(a, b plumbing.Hash) int { return bytes.Compare(a[:], b[:]) })
	found = slices.Compact(found)
	return found[:min(len(found), maxPrefixed)], nil
}

func (p *pack) withPrefix(digits string) ([]plumbing.Hash, error) {
	if !p.hold() {
		return nil, nil
	}
	defer p.drop()
	first := plumbing.NewHash(digits + strings.Repeat("0", 2*idLen-len(digits)))
	buf := namesBuffers.Get().(*[namesAtOnce * idLen]byte)
	defer namesBuffers.Put(buf)
	i, err := p.lowerBound(first, buf)
	if err != nil {
		return nil, err
	}
	var found []plumbing.Hash
	for ; i < p.fanout[first[0]] && len(found) < maxPrefixed; i++ {
		var id plumbing.Hash
		if _, err := p.idx.ReadAt(id[:], idxNames+int64(i)*idLen); err != nil {
			return nil, err
		}
		if !strings.HasPrefix(hex.EncodeToString(id[:]), digits) {
			break
		}
		found = append(found, id)
	}
	return found, nil
}
