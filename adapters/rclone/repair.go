package rclone

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// repair puts the cache into a state in which rclone finds everything that was
// not uploaded when the process died. Nobody uses the cache.
func (l *ledger) repair() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	names, err := l.entered()
	if err != nil {
		return err
	}
	if err := l.finishRenames(names); err != nil {
		return err
	}
	for name := range l.files {
		if err := l.restore(name); err != nil {
			return err
		}
	}
	return l.store.eachDirty(func(name string) error {
		if l.files[name] != nil {
			return nil
		}
		l.files[name] = &entry{}
		return l.write(name, l.store.dataOf(name))
	})
}

// entered reads the ledger's directory.
func (l *ledger) entered() (names []string, err error) {
	files, err := filepath.Glob(filepath.Join(l.dir, "*.name"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		name := string(b)
		if l.at(name, ".name") != file {
			// A crash of the machine came before the name was durable, and
			// so before anybody was told that something is.
			_ = os.Remove(file)
			_ = os.Remove(strings.TrimSuffix(file, ".name") + ".data")
			continue
		}
		l.files[name] = &entry{}
		names = append(names, name)
	}
	return names, nil
}

// finishRenames ends renames in the cache of which the data was moved and what
// is known of it was not: both names are entered, for the same data.
func (l *ledger) finishRenames(names []string) error {
	for _, old := range names {
		if _, err := os.Stat(l.store.dataOf(old)); err == nil {
			continue
		}
		for _, new := range names {
			if new == old || !sameFile(l.at(old, ".data"), l.store.dataOf(new)) {
				continue
			}
			if err := os.Remove(l.store.metaOf(old)); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
			if err := l.store.makeDirty(new); err != nil {
				return err
			}
			l.remove(old)
			break
		}
	}
	return nil
}

// restore puts back what a crash or a full disk has taken from a file.
func (l *ledger) restore(name string) error {
	link, data := l.at(name, ".data"), l.store.dataOf(name)
	_, missing := os.Stat(data)
	info, unknown := l.store.info(name)
	switch {
	case unknown == nil && !info.Dirty: // uploaded
		l.remove(name)
		return nil
	case unknown == nil && missing == nil:
		return nil
	case missing != nil:
		fi, err := os.Stat(link)
		if err != nil || l.uploaded(name, fi) {
			l.remove(name)
			return nil
		}
		if err := os.MkdirAll(filepath.Dir(data), 0o700); err != nil {
			return err
		}
		if err := os.Link(link, data); err != nil {
			return err
		}
	}
	l.log.Warn().Str("file", "/"+name).Msg("restored in the cache what was not uploaded")
	return l.store.makeDirty(name)
}
