// Package exposition writes metrics in the text format of Prometheus, version
// 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/).
//
// A page is a slice of bytes that metrics are appended to, a [Family] at a
// time: the format wants all samples of a family together, below one header.
// There is no registry. Who counts something has the numbers already, and what
// a library needs to hold them is made at each start of the appliance, asked
// for or not.
package exposition

import (
	"strconv"
	"strings"
)

// ContentType is what a page is sent as.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// Type is what a metric can be taken for.
type Type string

// The types that the appliance has.
const (
	Counter   Type = "counter"
	Gauge     Type = "gauge"
	Histogram Type = "histogram"
)

// Family is a metric of which there is a sample for each combination of values
// of its labels.
type Family struct {
	Name, Help string
	Type       Type
	Labels     []string // names
}

// AppendHeader begins the family. Its samples must follow before another one's.
func (f *Family) AppendHeader(page []byte) []byte {
	page = append(page, "# HELP "+f.Name+" "...)
	page = append(page, helpEscapes.Replace(f.Help)...)
	return append(page, "\n# TYPE "+f.Name+" "+string(f.Type)+"\n"...)
}

// AppendValue appends the sample of a counter or gauge, with a value for each
// label of the family.
func (f *Family) AppendValue(page []byte, v float64, values ...string) []byte {
	return f.line(page, "", v, values, "")
}

// AppendHistogram appends the samples of a histogram. counts[i] is how many
// observations were above bounds[i-1] and not above bounds[i]; counts has one
// more for those above all bounds. The format has each bucket count the ones
// before it, too, and the last, +Inf, equal the count of all.
func (f *Family) AppendHistogram(page []byte, bounds []float64, counts []uint64, sum float64, values ...string) []byte {
	var upTo uint64
	for i, bound := range bounds {
		upTo += counts[i]
		page = f.line(page, "_bucket", float64(upTo), values, string(appendFloat(nil, bound)))
	}
	upTo += counts[len(bounds)]
	page = f.line(page, "_bucket", float64(upTo), values, "+Inf")
	page = f.line(page, "_sum", sum, values, "")
	return f.line(page, "_count", float64(upTo), values, "")
}

// line appends one sample. le is the bound of a bucket, empty for others.
func (f *Family) line(page []byte, suffix string, v float64, values []string, le string) []byte {
	page = append(page, f.Name+suffix...)
	sep := byte('{')
	label := func(name, value string) {
		page = append(append(page, sep), name+`="`...)
		page = append(append(page, valueEscapes.Replace(value)...), '"')
		sep = ','
	}
	for i, name := range f.Labels {
		label(name, values[i])
	}
	if le != "" {
		label("le", le)
	}
	if sep == ',' {
		page = append(page, '}')
	}
	return append(appendFloat(append(page, ' '), v), '\n')
}

// appendFloat appends v as Go's strconv.ParseFloat reads it, which is how the
// format defines a value; infinity comes out as +Inf and -Inf.
func appendFloat(page []byte, v float64) []byte { return strconv.AppendFloat(page, v, 'g', -1, 64) }

// Quotes stand for themselves in a help text; they end a label's value.
var (
	helpEscapes  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	valueEscapes = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
)
