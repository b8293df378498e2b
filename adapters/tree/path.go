package tree

import (
	"strings"

	"github.com/fsva/fsva/vfs"
)

// maxPath is the longest path that is looked at, which is that of a zip entry.
// It bounds how many directories one entry makes.
const maxPath = 1<<16 - 1

// clean takes a path of a source apart, or says why it cannot be one. The root
// is no parts.
func clean(path string) (parts []string, why string) {
	if len(path) > maxPath {
		return nil, "is too long"
	}
	for part := range strings.SplitSeq(path, "/") {
		switch {
		case part == "" || part == ".":
			continue
		case part == "..":
			return nil, "leads upwards"
		case len(part) > vfs.MaxName:
			return nil, "has a name of more than 255 bytes"
		case strings.IndexByte(part, 0) >= 0:
			return nil, "has a NUL in it"
		}
		parts = append(parts, part)
	}
	return parts, ""
}

// targetFlaw says why a symbolic link cannot have a target (symlink(2)).
func targetFlaw(target string) string {
	switch {
	case target == "":
		return "is a symbolic link to nothing"
	case len(target) > vfs.MaxSymlink:
		return "is a symbolic link with too long a target"
	case strings.IndexByte(target, 0) >= 0:
		return "is a symbolic link with a NUL in its target"
	}
	return ""
}
