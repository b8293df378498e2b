package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFile bounds what is read as a configuration, so that a wrong path such as
// a disk image is refused and not loaded.
const maxFile = 1 << 20

// ReadFile fills c from the YAML file at path. The error is Errors with every
// unknown key and every value of the wrong kind, each as FILE:LINE: MESSAGE.
func (c *Config) ReadFile(path string) error {
	text, err := readBounded(path)
	if err != nil {
		return fmt.Errorf("configuration %s cannot be read: %w; correct the path, or make it readable", path, err)
	}
	if len(text) > maxFile {
		return fmt.Errorf("%s: longer than %d bytes, which no configuration is", path, maxFile)
	}
	if errs := c.read(path, text); len(errs) > 0 {
		return errs
	}
	return nil
}

// readBounded reads at most one byte more than a configuration may have. Its
// error does not name the file.
func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, bare(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	return text, bare(err)
}

// bare takes operation and path off an error of package os.
func bare(err error) error {
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		return path.Err
	}
	return err
}

// read is ReadFile of a file in memory.
func (c *Config) read(path string, text []byte) Errors {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil // empty: all defaults
	case err != nil:
		return located(path, err)
	}
	var second yaml.Node
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		return Errors{fmt.Errorf("%s:%d: a second document; a configuration is one", path, max(second.Line, 1))}
	}
	if c.from == nil {
		c.from = make(map[string]string)
	}
	w := walker{path: path, from: c.from}
	w.walk(doc.Content[0], reflect.TypeFor[Config](), "")
	// The values are looked at even if keys are wrong: who edits the file
	// wants to see everything at once.
	if err := doc.Decode(c); err != nil {
		w.errs = append(w.errs, located(path, err)...)
	}
	return w.errs
}

// walker compares a YAML tree with the type it is meant for. yaml.v3 could
// refuse unknown keys by itself, but in words of Go types, and it would not
// tell where the known ones are.
type walker struct {
	path string
	from map[string]string // becomes Config.from
	errs Errors
}

func (w *walker) walk(n *yaml.Node, t reflect.Type, key string) {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if key != "" {
		w.from[key] = fmt.Sprintf("%s:%d", w.path, n.Line)
	}
	switch {
	case n.Kind == yaml.MappingNode && t.Kind() == reflect.Struct:
		w.walkStruct(n, t, key)
	case n.Kind == yaml.SequenceNode && t.Kind() == reflect.Slice:
		for i, item := range n.Content {
			w.walk(item, t.Elem(), fmt.Sprintf("%s[%d]", key, i))
		}
	}
}

func (w *walker) walkStruct(n *yaml.Node, t reflect.Type, key string) {
	known := keysOf(t)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		at := slices.IndexFunc(known, func(f field) bool { return f.key == k.Value })
		if at < 0 {
			w.errs = append(w.errs, fmt.Errorf("%s:%d: unknown key %q; %s", w.path, k.Line, k.Value, suggest(k.Value, known)))
			continue
		}
		sub := k.Value
		if key != "" {
			sub = key + "." + sub
		}
		w.walk(v, known[at].typ, sub)
	}
}

// field is a key that a mapping may have.
type field struct {
	key string
	typ reflect.Type
	tag reflect.StructTag
}

// keysOf lists the keys of a struct in the order of its fields.
func keysOf(t reflect.Type) (keys []field) {
	for i := range t.NumField() {
		f := t.Field(i)
		if key := f.Tag.Get("yaml"); key != "" {
			keys = append(keys, field{key, f.Type, f.Tag})
		}
	}
	return keys
}

var yamlLine = regexp.MustCompile(`^(?:yaml: )?line (\d+): (.*)$`)

// located turns an error of yaml.v3, which begins with its line, into ours.
func located(path string, err error) (errs Errors) {
	lines := []string{err.Error()}
	var many *yaml.TypeError
	if errors.As(err, &many) {
		lines = many.Errors
	}
	for _, text := range lines {
		m := yamlLine.FindStringSubmatch(text)
		if m == nil {
			errs = append(errs, fmt.Errorf("%s: %s", path, text))
			continue
		}
		errs = append(errs, fmt.Errorf("%s:%s: %s", path, m[1], plain(m[2])))
	}
	return errs
}

var yamlKind = regexp.MustCompile("^cannot unmarshal !!(\\w+)(?: (`.*`))? into (.*)$")

// plain says without Go types that a value is of the wrong kind.
func plain(text string) string {
	m := yamlKind.FindStringSubmatch(text)
	if m == nil {
		return text
	}
	found := map[string]string{"map": "a mapping", "seq": "a list"}[m[1]]
	if found == "" {
		found = m[2]
	}
	wanted := map[string]string{"bool": "true or false", "uint32": "a number from 0 to 4294967295", "string": "a text"}[m[3]]
	switch {
	case strings.HasPrefix(m[3], "[]"):
		wanted = "a list"
	case wanted == "":
		wanted = "a mapping of keys to values"
	}
	return "found " + found + " where " + wanted + " belongs"
}

// UnmarshalYAML reads a duration and names the line where it is none.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	if err := d.Set(n.Value); err != nil {
		return &yaml.TypeError{Errors: []string{"line " + strconv.Itoa(n.Line) + ": " + err.Error()}}
	}
	return nil
}

// suggest names the known key that is nearest to a wrong one, or all if none
// is near.
func suggest(wrong string, known []field) string {
	if strings.Contains(wrong, "=") { // "- a=mem:" is a mapping to YAML
		return "put the text in quotes"
	}
	best, distance := "", len(wrong)/2+1
	for _, f := range known {
		if d := editDistance(wrong, f.key); d < distance {
			best, distance = f.key, d
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	text := "known here: "
	for i, f := range known {
		if i > 0 {
			text += ", "
		}
		text += f.key
	}
	return text
}

// editDistance is the number of single-byte edits between two words.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
