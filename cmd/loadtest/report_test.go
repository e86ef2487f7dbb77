package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// fill adds operations that took that long.
func fill(t *tally, n int, took time.Duration) {
	for range n {
		t.add(took)
	}
}

// cells returns the table's first row by the names of its columns.
func cells(t *testing.T, r *Report) map[string]string {
	t.Helper()
	var table bytes.Buffer
	if err := r.write(&table); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(table.String(), "\n")
	gap := regexp.MustCompile(`  +`)
	names, values := gap.Split(lines[0], -1), gap.Split(lines[1], -1)
	if len(names) != len(values) {
		t.Fatalf("%d columns, %d values:\n%s", len(names), len(values), &table)
	}
	row := make(map[string]string)
	for i, name := range names {
		row[name] = values[i]
	}
	return row
}

// A page is compared with the bare server in three ways, in the table and in the
// JSON. A round with a stall does not decide about the p99, and nothing is said
// about that of a few pages.
func TestCompare(t *testing.T) {
	for name, tt := range map[string]struct {
		pages int
		p99   string
	}{
		"enough":  {enoughForP99, "1.50"},
		"too few": {enoughForP99 - 1, "-"},
	} {
		t.Run(name, func(t *testing.T) {
			var ours, bare tally
			fill(&ours, tt.pages, 3*time.Millisecond)
			fill(&bare, 2*tt.pages, 2*time.Millisecond)
			ours.inTime, ours.elapsed = tt.pages, time.Second
			bare.inTime, bare.elapsed = 2*tt.pages, time.Second
			cpu := time.Duration(tt.pages) * time.Millisecond
			p99s := slices.Concat([]float64{90, 1.6}, slices.Repeat([]float64{1.5}, rounds-3), []float64{0.1})
			var r Report
			r.row("pages", "home", &ours, 3*cpu).compare(&bare, 2*cpu, p99s)
			got := cells(t, &r)
			for column, want := range map[string]string{"speed / bare": "0.500", "CPU / bare": "3.00", "p99 / bare": tt.p99} {
				if got[column] != want {
					t.Errorf("%s is %q, want %q", column, got[column], want)
				}
			}
			text, err := json.Marshal(r.Rows[0])
			if err != nil {
				t.Fatal(err)
			}
			var read map[string]any
			if err := json.Unmarshal(text, &read); err != nil || read["bare_p99"] != r.Rows[0].P99s {
				t.Errorf("the JSON has %v, want bare_p99 to be %v", slices.Sorted(maps.Keys(read)), r.Rows[0].P99s)
			}
		})
	}
}

// Each round of a measurement has a p99 of its own.
func TestQuantileAfter(t *testing.T) {
	var all tally
	fill(&all, 100, 9*time.Millisecond)
	fill(&all, 99, time.Millisecond)
	fill(&all, 1, 2*time.Millisecond)
	if got := all.quantileAfter(100, 0.5); got != time.Millisecond {
		t.Errorf("the median of the second round is %v", got)
	}
	if got := all.quantileAfter(100, 0.99); got != 2*time.Millisecond {
		t.Errorf("the p99 of the second round is %v", got)
	}
	if got := all.quantile(0.99); got != 9*time.Millisecond {
		t.Errorf("the p99 of both is %v", got)
	}
	if got := all.quantileAfter(200, 0.99); got != 0 {
		t.Errorf("the p99 of nothing is %v", got)
	}
}
