package exposition

import (
	"math"
	"testing"

	"github.com/fsva/fsva/server/exposition/expositiontest"
)

func parse(t *testing.T, page []byte) *expositiontest.Page {
	t.Helper()
	p, err := expositiontest.Parse(string(page))
	if err != nil {
		t.Fatalf("%v\n%s", err, page)
	}
	return p
}

func TestValuesAreWrittenAsTheFormatHasThem(t *testing.T) {
	f := Family{Name: "a_total", Help: "Of \\ and\nlines, \"quoted\".", Type: Counter, Labels: []string{"x", "y"}}
	page := f.AppendHeader(nil)
	page = f.AppendValue(page, 1e6, "a\\b\"c\nd", "é{},=")
	page = f.AppendValue(page, 0.25, "", "2")
	g := Family{Name: "b", Help: "Bare.", Type: Gauge}
	page = g.AppendValue(g.AppendHeader(page), math.Inf(-1))
	want := `# HELP a_total Of \\ and\nlines, "quoted".
# TYPE a_total counter
a_total{x="a\\b\"c\nd",y="é{},="} 1e+06
a_total{x="",y="2"} 0.25
# HELP b Bare.
# TYPE b gauge
b -Inf
`
	if string(page) != want {
		t.Errorf("got\n%swant\n%s", page, want)
	}
	parse(t, page)
}

func TestHistogramBucketsAddUp(t *testing.T) {
	f := Family{Name: "h", Help: "H.", Type: Histogram, Labels: []string{"op"}}
	page := f.AppendHistogram(f.AppendHeader(nil), []float64{1e-6, 0.5}, []uint64{1, 2, 4}, 9.5, "READ")
	want := `# HELP h H.
# TYPE h histogram
h_bucket{op="READ",le="1e-06"} 1
h_bucket{op="READ",le="0.5"} 3
h_bucket{op="READ",le="+Inf"} 7
h_sum{op="READ"} 9.5
h_count{op="READ"} 7
`
	if string(page) != want {
		t.Errorf("got\n%swant\n%s", page, want)
	}
	parse(t, page)
	bare := Family{Name: "h", Help: "H.", Type: Histogram}
	p := parse(t, bare.AppendHistogram(bare.AppendHeader(nil), []float64{1}, []uint64{1, 0}, 1))
	if p.Samples[`h_bucket{le="1"}`] != 1 || p.Samples["h_count"] != 1 {
		t.Errorf("%v", p.Samples)
	}
}

// TestParserRefuses keeps the tests of pages honest.
func TestParserRefuses(t *testing.T) {
	const h = "# TYPE h histogram\n"
	for what, page := range map[string]string{
		"no end of line":      "a 1",
		"empty line":          "a 1\n\nb 1\n",
		"comment":             "# a\n",
		"name":                "1a 1\n",
		"value":               "a x\n",
		"no value":            "a\n",
		"two values":          "a 1 x\n",
		"label's name":        `a{1="x"} 1` + "\n",
		"label's value":       "a{b=x} 1\n",
		"quote in label":      `a{b="x"y"} 1` + "\n",
		"escape in label":     `a{b="\x"} 1` + "\n",
		"no comma":            `a{b="x"c="y"} 1` + "\n",
		"label twice":         `a{b="x",b="y"} 1` + "\n",
		"not UTF-8":           "a{b=\"\xff\"} 1\n",
		"sample twice":        `a{b="x",c="y"} 1` + "\n" + `a{c="y",b="x"} 1` + "\n",
		"family in two":       "a 1\nb 1\na{x=\"y\"} 1\n",
		"header in two":       "# TYPE a gauge\na 1\nb 1\n# TYPE a gauge\n",
		"type twice":          "# TYPE a gauge\n# TYPE a gauge\n",
		"header below":        "a 1\n# TYPE a gauge\n",
		"type":                "# TYPE a number\n",
		"escape in help":      "# HELP a \\x\na 1\n",
		"counter below zero":  "# TYPE a counter\na -1\n",
		"no infinite bucket":  h + "h_bucket{le=\"1\"} 1\nh_sum 1\nh_count 1\n",
		"no sum":              h + "h_bucket{le=\"+Inf\"} 1\nh_count 1\n",
		"no count":            h + "h_bucket{le=\"+Inf\"} 1\nh_sum 1\n",
		"other count":         h + "h_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 2\n",
		"buckets shrink":      h + "h_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
		"buckets unordered":   h + "h_bucket{le=\"2\"} 1\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
		"bucket without le":   h + "h_bucket 1\n",
		"histogram of values": h + "h 1\n",
	} {
		if _, err := expositiontest.Parse(page); err == nil {
			t.Errorf("%s: accepted:\n%s", what, page)
		}
	}
	whole := "# HELP h H.\n" + h + "h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\nother 1\n"
	if _, err := expositiontest.Parse(whole); err != nil {
		t.Error(err)
	}
}
