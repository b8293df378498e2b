package vfs

import "strings"

// CheckName returns nil if name can be a directory entry: EINVAL for an empty
// name, "." or "..", or one with '/' or NUL, ENAMETOOLONG beyond MaxName
// bytes. Servers call it on every name that comes from a guest, so adapters
// need not.
func CheckName(name string) error {
	switch {
	case name == "" || name == "." || name == "..":
		return EINVAL
	case len(name) > MaxName:
		return ENAMETOOLONG
	case strings.IndexByte(name, '/') >= 0 || strings.IndexByte(name, 0) >= 0:
		return EINVAL
	}
	return nil
}
