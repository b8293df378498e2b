package config

import (
	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/fsva/fsva/internal/strictyaml"
)

// ReadFile fills c from the YAML file at path. The error is Errors with every
// unknown key and every value of the wrong kind, each as FILE:LINE: MESSAGE.
func (c *Config) ReadFile(path string) error {
	return strictyaml.ReadFile(path, c, c.places())
}

// read is ReadFile of a file in memory.
func (c *Config) read(path string, text []byte) Errors {
	return strictyaml.Read(path, text, c, c.places())
}

func (c *Config) places() map[string]string {
	if c.from == nil {
		c.from = make(map[string]string)
	}
	return c.from
}

// UnmarshalYAML reads a duration and names the line where it is none.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	if err := d.Set(n.Value); err != nil {
		return &yaml.TypeError{Errors: []string{"line " + strconv.Itoa(n.Line) + ": " + err.Error()}}
	}
	return nil
}
