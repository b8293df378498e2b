package rclone

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/config/configmap"

	"github.com/fsva/fsva/adapters"
)

// location is where a remote is, for rclone.
type location struct {
	backend string           // "" is a remote of the configuration file
	options configmap.Simple // of the back end
	root    string           // for a back end; REMOTE:PATH for a remote
	config  string           // the configuration file, "" for rclone's own
}

// onlyKeys refuses other keys. The URL itself is not in its errors: what is wrong
// there may be that it has a secret.
func onlyKeys(s *adapters.Source, known ...string) error {
	_, query, _ := strings.Cut(s.URL(), "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("what follows the ? is malformed")
	}
	for key, list := range values {
		switch {
		case !slices.Contains(known, key) && !slices.Contains(commonKeys, key):
			return fmt.Errorf("unknown key %q; known are: %s. Secrets do not belong here: see docs/adapters/rclone.md",
				key, strings.Join(append(slices.Clone(known), commonKeys...), ", "))
		case len(list) > 1:
			return fmt.Errorf("%s is given twice", key)
		}
	}
	return nil
}

// authority takes what follows a scheme's colon apart: //AUTHORITY/PATH.
func authority(s *adapters.Source) (*url.URL, error) {
	u, err := url.Parse("scheme:" + s.Rest())
	if err != nil || !strings.HasPrefix(s.Rest(), "//") || u.Host == "" {
		return nil, errors.New("a // and a name are missing, or %XX is malformed")
	}
	if _, has := u.User.Password(); has {
		return nil, errors.New("a password does not belong in a URL: see docs/adapters/rclone.md")
	}
	return u, nil
}

// locateS3 is s3://BUCKET/PREFIX.
func locateS3(s *adapters.Source) (l location, err error) {
	if err := onlyKeys(s, "endpoint", "region", "provider", "profile", "credentials", "pathstyle"); err != nil {
		return l, err
	}
	u, err := authority(s)
	if err != nil {
		return l, err
	}
	if u.User != nil {
		return l, errors.New("credentials do not belong in a URL: they come from the environment, or from the file that credentials= names")
	}
	endpoint, region, provider := s.Get("endpoint"), s.Get("region"), s.Get("provider")
	if e, err := url.Parse(endpoint); err != nil || e.User != nil || endpoint != "" && (e.Scheme != "http" && e.Scheme != "https" || e.Host == "") {
		return l, errors.New("endpoint= is no http:// or https:// URL without credentials")
	}
	if provider == "" {
		provider = "AWS"
		if endpoint != "" {
			provider = "Other"
		}
	}
	l = location{backend: "s3", root: u.Host + strings.TrimSuffix(u.Path, "/"), options: configmap.Simple{
		"provider": provider, "env_auth": "true", "endpoint": endpoint, "region": region,
		"directory_markers": "true", // else a directory ends with its last file
		"no_check_bucket":   "true", // it is there, or the export does not open
	}}
	for key, option := range map[string]string{"profile": "profile", "credentials": "shared_credentials_file", "pathstyle": "force_path_style"} {
		if v := s.Get(key); v != "" {
			l.options[option] = v
		}
	}
	return l, checkFile(s, "credentials")
}

// locateSFTP is sftp://USER@HOST:PORT/PATH.
func locateSFTP(s *adapters.Source) (l location, err error) {
	if err := onlyKeys(s, "key", "known_hosts", "agent"); err != nil {
		return l, err
	}
	u, err := authority(s)
	if err != nil {
		return l, err
	}
	if u.User.Username() == "" {
		return l, errors.New("the user is missing: sftp://USER@HOST/PATH")
	}
	port := u.Port()
	if port == "" {
		port = "22"
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return l, fmt.Errorf("%q is no port", port)
	}
	hosts := s.Get("known_hosts")
	if hosts == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return l, errors.New("known_hosts= is missing, and there is no home directory that has the file")
		}
		hosts = filepath.Join(home, ".ssh", "known_hosts")
	}
	if err := errors.Join(checkFile(s, "key"), checkFile(s, "known_hosts")); err != nil {
		return l, err
	}
	root := u.Path
	if root == "" {
		root = "/"
	}
	l = location{backend: "sftp", root: root, options: configmap.Simple{
		"host": u.Hostname(), "user": u.User.Username(), "port": port, "known_hosts_file": hosts,
		// Many servers give no shell, and a shell is not asked for a checksum.
		"shell_type": "none", "disable_hashcheck": "true",
	}}
	switch key, agent := s.Get("key"), s.Get("agent"); {
	case key != "":
		l.options["key_file"] = key
	case agent == "" || agent == "on":
		l.options["key_use_agent"] = "true"
	default:
		return l, errors.New("key= is missing; agent= can only be on")
	}
	return l, nil
}

// remoteName is how rclone lets remotes be called; with a colon before it, it is
// a back end. What could follow, options after a comma, may be secrets.
var remoteName = regexp.MustCompile(`^:?[\w.+@-][\w.+@ -]*$`)

// locateRclone is rclone:REMOTE:PATH.
func locateRclone(s *adapters.Source) (l location, err error) {
	if err := onlyKeys(s, "config"); err != nil {
		return l, err
	}
	rest := strings.TrimPrefix(s.Rest(), ":")
	name, path, ok := strings.Cut(rest, ":")
	if len(rest) < len(s.Rest()) {
		name = ":" + name
	}
	if !ok || !remoteName.MatchString(name) {
		return l, errors.New("rclone:REMOTE:PATH is how it is written; options of a remote belong into rclone's configuration file")
	}
	return location{root: name + ":" + path, config: s.Get("config")}, checkFile(s, "config")
}

func checkFile(s *adapters.Source, key string) error {
	if path := s.Get(key); path != "" && !filepath.IsAbs(path) {
		return fmt.Errorf("%s=%s is no absolute path", key, path)
	}
	return nil
}

// open makes the back end. It may look at the remote.
func (l *location) open(ctx context.Context, url string) (fs.Fs, error) {
	if l.backend == "" {
		if err := useConfig(l.config); err != nil {
			return nil, err
		}
		info, _, _, config, err := fs.ConfigFs(l.root)
		if err != nil {
			return nil, err
		}
		keepSecrets(info, config)
		f, err := fs.NewFs(ctx, l.root)
		return directory(f, err)
	}
	info, err := fs.Find(l.backend)
	if err != nil {
		return nil, fmt.Errorf("this build lacks rclone's back end %s", l.backend)
	}
	config := fs.ConfigMap(info.Prefix, info.Options, "", l.options)
	keepSecrets(info, config)
	sum := sha256.Sum256([]byte(url))
	f, err := info.NewFs(ctx, l.backend+"-"+hex.EncodeToString(sum[:4]), l.root, config)
	return directory(f, err)
}

func directory(f fs.Fs, err error) (fs.Fs, error) {
	if errors.Is(err, fs.ErrorIsFile) {
		return nil, errors.New("it is a file and no directory")
	}
	return f, err
}
