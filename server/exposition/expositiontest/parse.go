// Package expositiontest reads the text format of Prometheus for tests, and
// refuses whatever https://prometheus.io/docs/instrumenting/exposition_formats/
// does not allow, where Prometheus itself would let some of it pass.
package expositiontest

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Page is what a page said.
type Page struct {
	Types   map[string]string  // by family
	Help    map[string]string  // by family
	Samples map[string]float64 // by name and labels, as they were written
}

var (
	metricName  = `[a-zA-Z_:][a-zA-Z0-9_:]*`
	metaLine    = regexp.MustCompile(`^# (HELP|TYPE) (` + metricName + `)(?: (.*))?$`)
	sampleLine  = regexp.MustCompile(`^(` + metricName + `)(?:\{(.*)\})? (\S+)$`)
	label       = regexp.MustCompile(`^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\[\\"n])*)"(?:, ?|$)`)
	helpText    = regexp.MustCompile(`^(?:[^\\]|\\[\\n])*$`)
	metricTypes = []string{"counter", "gauge", "histogram", "summary", "untyped"}
)

// Parse reads a page.
func Parse(text string) (*Page, error) {
	if !utf8.ValidString(text) {
		return nil, errors.New("not UTF-8")
	}
	lines := strings.SplitAfter(text, "\n")
	if last := len(lines) - 1; lines[last] != "" {
		return nil, fmt.Errorf("the last line does not end: %q", lines[last])
	}
	p := &parser{
		Page: Page{Types: map[string]string{}, Help: map[string]string{}, Samples: map[string]float64{}},
		over: map[string]bool{}, series: map[string]float64{}, last: map[string]bucket{},
	}
	for i, line := range lines[:len(lines)-1] {
		if err := p.line(strings.TrimSuffix(line, "\n")); err != nil {
			return nil, fmt.Errorf("line %d: %w: %q", i+1, err, line)
		}
	}
	for series := range p.last {
		if err := p.whole(series); err != nil {
			return nil, err
		}
	}
	return &p.Page, nil
}

type parser struct {
	Page
	family  string             // the one that lines belong to
	sampled bool               // it has samples
	over    map[string]bool    // families that were before it
	series  map[string]float64 // samples by name and sorted labels
	last    map[string]bucket  // of each histogram, by its family and labels
}

type bucket struct{ le, count float64 }

func (p *parser) line(line string) error {
	if strings.HasPrefix(line, "#") {
		return p.meta(line)
	}
	m := sampleLine.FindStringSubmatch(line)
	if m == nil {
		return errors.New("no sample")
	}
	v, err := strconv.ParseFloat(m[3], 64)
	if err != nil {
		return err
	}
	labels, err := parseLabels(m[2])
	if err != nil {
		return err
	}
	if err := p.enter(p.familyOf(m[1])); err != nil {
		return err
	}
	p.sampled = true
	if p.Types[p.family] == "counter" && !(v >= 0) {
		return errors.New("a counter below zero")
	}
	id := seriesID(m[1], labels)
	if _, twice := p.series[id]; twice {
		return errors.New("sample twice")
	}
	p.series[id] = v
	p.Samples[strings.TrimSuffix(line, " "+m[3])] = v
	if p.Types[p.family] == "histogram" {
		return p.histogram(m[1], labels, v)
	}
	return nil
}

// meta reads a header. Comments are allowed, but here they would be mistakes.
func (p *parser) meta(line string) error {
	m := metaLine.FindStringSubmatch(line)
	if m == nil {
		return errors.New("neither HELP nor TYPE")
	}
	if err := p.enter(m[2]); err != nil {
		return err
	}
	if p.sampled {
		return errors.New("header below samples")
	}
	said := p.Help
	if m[1] == "TYPE" {
		said = p.Types
		if !slices.Contains(metricTypes, m[3]) {
			return errors.New("unknown type")
		}
	} else if !helpText.MatchString(m[3]) {
		return errors.New("bad escape")
	}
	if _, twice := said[m[2]]; twice {
		return errors.New(m[1] + " twice")
	}
	said[m[2]] = m[3]
	return nil
}

// enter goes to a family, whose lines must be together.
func (p *parser) enter(family string) error {
	if family == p.family {
		return nil
	}
	if p.over[family] {
		return fmt.Errorf("%s in two places", family)
	}
	if p.family != "" && !p.sampled && p.Types[p.family] == "" {
		return fmt.Errorf("%s has help but neither type nor samples", p.family)
	}
	p.over[p.family] = true
	p.family, p.sampled = family, false
	return nil
}

// familyOf returns the family that a sample of this name is of.
func (p *parser) familyOf(name string) string {
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		base, ok := strings.CutSuffix(name, suffix)
		t := p.Types[base]
		if ok && (t == "histogram" || t == "summary" && suffix != "_bucket") {
			return base
		}
	}
	return name
}

// histogram checks that buckets come in order and end with all observations.
func (p *parser) histogram(name string, labels map[string]string, v float64) error {
	le, isBucket := labels["le"]
	delete(labels, "le")
	id := seriesID(p.family, labels)
	if strings.HasSuffix(name, "_bucket") != isBucket || name == p.family {
		return errors.New("bucket without le, or le without bucket")
	}
	if !isBucket {
		return nil
	}
	bound, err := strconv.ParseFloat(le, 64)
	if err != nil {
		return err
	}
	if before, ok := p.last[id]; ok && (bound <= before.le || v < before.count) {
		return errors.New("bucket below the one before it")
	}
	p.last[id] = bucket{bound, v}
	return nil
}

// whole checks a histogram at its end. That the Go runtime's own have no sum,
// and so no count, is not the appliance's to change.
func (p *parser) whole(series string) error {
	last := p.last[series]
	if !math.IsInf(last.le, 1) {
		return fmt.Errorf("%s has no bucket +Inf", series)
	}
	name, labels, _ := strings.Cut(series, "{")
	if strings.HasPrefix(name, "go_") {
		return nil
	}
	if _, ok := p.series[name+"_sum{"+labels]; !ok {
		return fmt.Errorf("%s has no sum", series)
	}
	if n, ok := p.series[name+"_count{"+labels]; !ok || n != last.count {
		return fmt.Errorf("%s has count %v (%t), its last bucket %v", series, n, ok, last.count)
	}
	return nil
}

func parseLabels(s string) (map[string]string, error) {
	labels := make(map[string]string)
	for s != "" {
		m := label.FindStringSubmatch(s)
		if m == nil {
			return nil, fmt.Errorf("bad label at %q", s)
		}
		if _, twice := labels[m[1]]; twice {
			return nil, fmt.Errorf("label %s twice", m[1])
		}
		labels[m[1]] = m[2]
		s = s[len(m[0]):]
	}
	return labels, nil
}

// seriesID is the same for the same labels, however they are ordered.
func seriesID(name string, labels map[string]string) string {
	var pairs []string
	for k, v := range labels {
		pairs = append(pairs, k+`="`+v+`"`)
	}
	slices.Sort(pairs)
	return name + "{" + strings.Join(pairs, ",")
}
