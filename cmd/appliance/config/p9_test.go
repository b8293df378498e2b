package config

import (
	"strings"
	"testing"
)

func TestParseP9(t *testing.T) {
	for text, want := range map[string]P9{
		"tcp://10.77.0.1:564":                   {Transport: "tcp", Address: "10.77.0.1:564"},
		"tcp://[::1]:564":                       {Transport: "tcp", Address: "[::1]:564"},
		"unix:///run/9p.sock":                   {Transport: "unix", Address: "/run/9p.sock"},
		"vsock://:9999":                         {Transport: "vsock", Address: ":9999", Port: 9999},
		"virtio:///run/v.sock":                  {Transport: "virtio", Address: "/run/v.sock"},
		"virtio:///run/v?export=data&tag=t":     {Transport: "virtio", Address: "/run/v", Export: "data", Tag: "t"},
		"virtio:///run/v?export=data&connect=1": {Transport: "virtio", Address: "/run/v", Export: "data", Connect: true},
		"virtio:///run/v?guest=web1":            {Transport: "virtio", Address: "/run/v", Guest: "web1"},
		"xen:":                                  {Transport: "xen"},
		"xen:?export=data":                      {Transport: "xen", Export: "data"},
	} {
		if got, err := ParseP9(text); got != want || err != nil {
			t.Errorf("%s is %+v, %v; want %+v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"10.77.0.1:564":                       "such as tcp://",
		"tcp://localhost:564":                 "tcp://IP:PORT",
		"tcp://10.77.0.1":                     "tcp://IP:PORT",
		"tcp://10.77.0.1:564/x":               "tcp://IP:PORT",
		"tcp://10.77.0.1:564?a=b":             "only virtio",
		"unix://run/9p.sock":                  "absolute path",
		"unix:///" + strings.Repeat("x", 108): "less than 108",
		"vsock://3:9999":                      "vsock://:PORT",
		"vsock://:x":                          "such as tcp://",
		"xen://7":                             "xen:?export=NAME",
		"xen:?tag=x":                          "export only",
		"xdma:///x":                           "known are",
		"virtio:///v?tag=":                    "1 to 254",
		"virtio:///v?tag=a&tag=b":             "twice",
		"virtio:///v?export=a/b":              "export name",
		"virtio:///v?mode=1":                  "unknown key",
		"virtio:///v?guest=":                  "needs the name",
		"xen:?guest=web1":                     "export only",
		"virtio:///v?connect=perhaps":         "0 or 1",
	} {
		if _, err := ParseP9(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
