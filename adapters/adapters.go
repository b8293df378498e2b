// Package adapters opens file systems by URL. It is the one place that knows
// which adapters there are: a new one is a line in [schemes] and a package. One
// that would make every build big is a module of its own, which calls
// [Register], and a line in [elsewhere].
//
//	host:/DIR         a directory of the appliance, of whatever file system is mounted there
//	mem:[?size=SIZE]  memory; SIZE in bytes or with K, M, G or T, 1G by default
//	git:/REPOSITORY[?rev=REVISION]  a git repository, one revision of it or all refs
//	tar:/FILE[?unpacked=SIZE]  a tar archive, plain or packed by gzip or zstd, read-only
//	image:/FILE[?part=N]  the file system in a disk image, read-only
//	zip:/FILE         a ZIP archive, read-only
package adapters

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/rs/zerolog"

	"github.com/fsva/fsva/adapters/git"
	"github.com/fsva/fsva/state"
	"github.com/fsva/fsva/vfs"
)

// Env is what an adapter is told besides its URL.
type Env struct {
	Log       zerolog.Logger
	Exclusive bool // nobody but the appliance changes the tree
	Sync      bool // changes are to be durable before a call returns
	// State keeps what the adapter has to remember over a restart; without
	// it the adapter forgets.
	State *state.Bucket
	// Dir is a directory for what is too much for State, such as a cache of
	// what was not yet written elsewhere. It is the file system's own and
	// may have to be made; empty if nothing is to survive.
	Dir string
}

// scheme is one kind of file system.
type scheme struct {
	// check judges a URL without opening anything.
	check func(source) error
	open  func(context.Context, source, Env) (vfs.FS, error)
	// volatile says that nothing outlives the process, so that the
	// appliance need not remember its guests either.
	volatile bool
}

var schemes = map[string]scheme{
	"git":   {check: checkGit, open: openGit},
	"host":  {check: checkHost, open: openHost},
	"image": {check: checkImage, open: openImage},
	"mem":   {check: checkMem, open: openMem, volatile: true},
	"tar":   {check: checkTar, open: openTar},
	"zip":   {check: checkZip, open: openZip},
}

// elsewhere are the schemes of adapters that not every build has, with the
// build that has them.
var elsewhere = map[string]string{
	"rclone": full,
	"s3":     full,
	"sftp":   full,
}

const full = "appliance-full (go build ./cmd/appliance-full in adapters/rclone)"

// Source is a URL taken apart: scheme:rest?query.
type Source struct {
	url, rest string
	query     url.Values
}

type source = Source // within this package

// URL is the whole, as the operator wrote it.
func (s *Source) URL() string { return s.url }

// Rest is what stands between the scheme's colon and the question mark.
func (s *Source) Rest() string { return s.rest }

// Get returns the value of a key of the query, "" if it is not there.
func (s *Source) Get(key string) string { return s.query.Get(key) }

// Scheme is a kind of file system that is not of this module.
type Scheme struct {
	// Check judges a URL without opening anything. Its errors must not tell
	// what may be secret.
	Check func(Source) error
	Open  func(context.Context, Source, Env) (vfs.FS, error)
}

// ErrUnreachable is wrapped by the errors of Open where what the URL names lies
// elsewhere, was served before, and does not answer now: it may come back, and
// guests of an earlier start may wait for it. One that never answered is more
// likely misspelled, and its error does not wrap this.
var ErrUnreachable = errors.New("it cannot be reached")

// Register adds a kind of file system, from the init of the package that has
// it. All that are registered outlive the process.
func Register(name string, s Scheme) { schemes[name] = scheme{check: s.Check, open: s.Open} }

// parse takes a URL apart. The colon may be missing where nothing follows it,
// since "url: mem:" is malformed YAML. It does not decode %XX in the rest, which is a path
// in most schemes and stays as the operator wrote it.
func parse(text string) (scheme, source, error) {
	name, rest, _ := strings.Cut(text, ":")
	s, known := schemes[name]
	if build, ok := elsewhere[name]; ok && !known {
		return s, source{}, fmt.Errorf("this build has no %s: file systems; %s has", name, build)
	}
	if !known {
		return s, source{}, fmt.Errorf("%q is no known kind of file system; known are %s", text, knownSchemes())
	}
	rest, query, _ := strings.Cut(rest, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return s, source{}, fmt.Errorf("%q: what follows the ? is malformed: %w", text, err)
	}
	return s, source{text, rest, values}, nil
}

func knownSchemes() string {
	return strings.Join(slices.Sorted(maps.Keys(schemes)), ": and ") + ":"
}

// Check says what is wrong with a URL as far as it shows without opening it.
func Check(url string) error {
	s, src, err := parse(url)
	if err != nil {
		return err
	}
	return s.check(src)
}

// Volatile reports whether what a valid URL names is gone with the process.
func Volatile(url string) bool {
	s, _, err := parse(url)
	return err == nil && s.volatile
}

// Open opens what the URL names. The caller closes the FS.
func Open(ctx context.Context, url string, env Env) (vfs.FS, error) {
	s, src, err := parse(url)
	if err != nil {
		return nil, err
	}
	if err := s.check(src); err != nil {
		return nil, err
	}
	return s.open(ctx, src, env)
}

// OnlyKeys refuses keys of the query other than the known ones.
func (s *Source) OnlyKeys(known ...string) error {
	for _, key := range slices.Sorted(maps.Keys(s.query)) {
		switch {
		case len(known) == 0:
			return fmt.Errorf("%q: nothing can follow the ?", s.url)
		case !slices.Contains(known, key):
			return fmt.Errorf("%q: unknown key %q; known are: %s", s.url, key, strings.Join(known, ", "))
		case len(s.query[key]) > 1:
			return fmt.Errorf("%q: %s is given twice", s.url, key)
		}
	}
	return nil
}

func checkHost(s source) error {
	if !filepath.IsAbs(s.rest) {
		return fmt.Errorf("%q needs the absolute path of a directory, such as host:/srv/data", s.url)
	}
	if strings.Contains(s.url, "?") {
		return fmt.Errorf("%q: host: takes no keys after a ?", s.url)
	}
	return nil
}

func checkGit(s source) error {
	if !filepath.IsAbs(s.rest) {
		return fmt.Errorf("%q needs the absolute path of a repository, such as git:/srv/repo.git", s.url)
	}
	if err := s.OnlyKeys("rev", "spool"); err != nil {
		return err
	}
	if s.query.Has("rev") {
		if err := git.CheckRevision(s.Get("rev")); err != nil {
			return fmt.Errorf("%q: %w", s.url, err)
		}
	}
	_, err := s.size("spool")
	return err
}

func checkTar(s source) error {
	if !filepath.IsAbs(s.rest) {
		return fmt.Errorf("%q needs the absolute path of an archive, such as tar:/srv/docs.tar.gz", s.url)
	}
	if err := s.OnlyKeys("unpacked"); err != nil {
		return err
	}
	_, err := s.size("unpacked")
	return err
}

func checkImage(s source) error {
	if !filepath.IsAbs(s.rest) {
		return fmt.Errorf("%q needs the absolute path of an image, such as image:/srv/disk.img", s.url)
	}
	if err := s.OnlyKeys("part"); err != nil {
		return err
	}
	_, err := s.partition()
	return err
}

// maxPartition is more than any table has.
const maxPartition = 1024

// partition is the number in the key part, 0 if it is not there.
func (s *source) partition() (int, error) {
	if !s.query.Has("part") {
		return 0, nil
	}
	n, err := strconv.Atoi(s.Get("part"))
	if err != nil || n < 1 || n > maxPartition {
		return 0, fmt.Errorf("%q: %q is not the number of a partition, such as 1", s.url, s.Get("part"))
	}
	return n, nil
}

func checkZip(s source) error {
	if !filepath.IsAbs(s.rest) {
		return fmt.Errorf("%q needs the absolute path of an archive, such as zip:/srv/docs.zip", s.url)
	}
	return s.OnlyKeys()
}

func checkMem(s source) error {
	if s.rest != "" {
		return fmt.Errorf("%q: nothing can follow mem: but ?size=SIZE", s.url)
	}
	if err := s.OnlyKeys("size"); err != nil {
		return err
	}
	_, err := s.size("size")
	return err
}

// size is the key of that name in bytes, 0 if it is not there.
func (s *source) size(key string) (int64, error) {
	text := s.query.Get(key)
	if !s.query.Has(key) {
		return 0, nil
	}
	digits := strings.TrimRight(text, "KMGT")
	shift := map[string]uint{"": 0, "K": 10, "M": 20, "G": 30, "T": 40}
	by, ok := shift[text[len(digits):]]
	n, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || n <= 0 || n > (1<<63-1)>>by {
		return 0, fmt.Errorf("%q: %q is not a size in bytes such as 64M or 2G", s.url, text)
	}
	return n << by, nil
}
