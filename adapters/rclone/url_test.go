package rclone_test

import (
	"strings"
	"testing"

	"github.com/fsva/fsva/adapters"
)

func TestURLs(t *testing.T) {
	const secret = "hunter2hunter2"
	for _, c := range []struct{ url, says string }{ // says "" is a good one
		{"s3://bucket", ""},
		{"s3://bucket/some/prefix?region=eu-central-1&profile=prod&modtime=server&cache=10G&links=off", ""},
		{"s3://bucket?endpoint=https://minio.example:9000&pathstyle=true&uid=1000&gid=1000", ""},
		{"sftp://me@host/srv/data?key=/etc/fsva/key&known_hosts=/etc/fsva/known&agent=on", ""},
		{"sftp://me@[::1]:2222/?key=/k&dircache=10s&writeback=1m&timeout=5s", ""},
		{"rclone:remote:some/path?config=/etc/rclone.conf", ""},
		{"rclone::local:/srv", ""},
		{"s3:", "missing"},
		{"s3:///prefix", "missing"},
		{"s3://" + "key:" + secret + "@bucket", "password"},
		{"s3://key@bucket", "credentials"},
		{"s3://bucket?secret_access_key=" + secret, "unknown key"},
		{"s3://bucket?endpoint=http://key:" + secret + "@host", "endpoint"},
		{"s3://bucket?endpoint=ftp://host", "endpoint"},
		{"s3://bucket?cache=lots", "size"},
		{"s3://bucket?writeback=0", "second"},
		{"s3://bucket?links=maybe", "links"},
		{"s3://bucket?uid=me", "number"},
		{"s3://bucket?region=a&region=b", "twice"},
		{"sftp://host/path?key=/k", "user"},
		{"sftp://me:" + secret + "@host/path", "password"},
		{"sftp://me@host:99999/path", "port"},
		{"sftp://me@host/path?key=relative", "absolute"},
		{"rclone:remote", "REMOTE:PATH"},
		{"rclone::s3,secret_access_key=" + secret + ":bucket", "configuration file"},
		{"rclone:remote:?config=rel", "absolute"},
	} {
		err := adapters.Check(c.url)
		switch {
		case c.says == "" && err != nil:
			t.Errorf("%s: %v", c.url, err)
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: the error should tell of %q: %v", c.url, c.says, err)
		case err != nil && strings.Contains(err.Error(), secret):
			t.Errorf("the error has the secret: %v", err)
		}
	}
}
