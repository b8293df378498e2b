// Package strictyaml reads a YAML file into a struct and refuses what the struct
// does not know, in words for who edits the file: each error has file and line,
// names the key, and offers the nearest one that there is.
//
// The struct's fields have a yaml tag with their key. Fields without one are not
// the file's.
package strictyaml

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
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxFile bounds what is read as a configuration, in bytes, so that a wrong path
// such as a disk image is refused and not loaded.
const MaxFile = 1 << 20

// Errors are what is wrong with a file, one a line.
type Errors []error

func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// ReadFile fills the struct that into points to from the file at path, and
// notes in from where each key was read: "exports[1].url" → "fsva.yaml:7". The
// error is Errors with every unknown key and every value of the wrong kind, each
// as FILE:LINE: MESSAGE.
func ReadFile(path string, into any, from map[string]string) error {
	text, err := readBounded(path)
	if err != nil {
		return fmt.Errorf("configuration %s cannot be read: %w; correct the path, or make it readable", path, err)
	}
	if len(text) > MaxFile {
		return fmt.Errorf("%s: longer than %d bytes, which no configuration is", path, MaxFile)
	}
	if errs := Read(path, text, into, from); len(errs) > 0 {
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
	text, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	return text, bare(err)
}

// bare takes operation and path off an error of package os.
func bare(err error) error {
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		return path.Err
	}
	return err
}

// Read is ReadFile of a file in memory.
func Read(path string, text []byte, into any, from map[string]string) Errors {
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
	w := walker{path: path, from: from}
	w.walk(doc.Content[0], reflect.TypeOf(into).Elem(), "")
	// The values are looked at even if keys are wrong: who edits the file
	// wants to see everything at once.
	if err := doc.Decode(into); err != nil {
		w.errs = append(w.errs, located(path, err)...)
	}
	return w.errs
}

// walker compares a YAML tree with the type it is meant for. yaml.v3 could
// refuse unknown keys by itself, but in words of Go types, and it would not
// tell where the known ones are.
type walker struct {
	path string
	from map[string]string // where each key was read
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
	known := Keys(t)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		at := slices.IndexFunc(known, func(f Field) bool { return f.Key == k.Value })
		if at < 0 {
			w.errs = append(w.errs, fmt.Errorf("%s:%d: unknown key %q; %s", w.path, k.Line, k.Value, suggest(k.Value, known)))
			continue
		}
		sub := k.Value
		if key != "" {
			sub = key + "." + sub
		}
		w.walk(v, known[at].Type, sub)
	}
}

// Field is a key that a mapping may have.
type Field struct {
	Key  string
	Type reflect.Type
	Tag  reflect.StructTag
}

// Keys lists the keys of a struct in the order of its fields.
func Keys(t reflect.Type) (keys []Field) {
	for i := range t.NumField() {
		f := t.Field(i)
		if key := f.Tag.Get("yaml"); key != "" {
			keys = append(keys, Field{key, f.Type, f.Tag})
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

// suggest names the known key that is nearest to a wrong one, or all if none
// is near.
func suggest(wrong string, known []Field) string {
	if strings.Contains(wrong, "=") { // "- a=mem:" is a mapping to YAML
		return "put the text in quotes"
	}
	best, distance := "", len(wrong)/2+1
	for _, f := range known {
		if d := editDistance(wrong, f.Key); d < distance {
			best, distance = f.Key, d
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
		text += f.Key
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
