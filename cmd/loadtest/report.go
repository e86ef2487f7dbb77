package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"
)

// Report is what was measured. Its JSON has times in milliseconds.
type Report struct {
	Rows    []Row          `json:"rows"`
	Facts   []Fact         `json:"facts"`
	Errors  map[string]int `json:"errors"` // by kind
	Crossed int            `json:"crossed"`
	Stopped bool           `json:"stopped"` // before the end
}

// Row is how fast one thing is. A 0 is unknown.
type Row struct {
	Phase     string  `json:"phase"`
	What      string  `json:"what"`
	Count     int     `json:"count"`
	PerSecond float64 `json:"per_second"`
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
	CPU       float64 `json:"cpu_ms"`     // of the program, for each
	Speed     float64 `json:"bare_speed"` // of the program, as a part of the bare server's
	CPUs      float64 `json:"bare_cpu"`   // the program's for each, in those of the bare server
	P99s      float64 `json:"bare_p99"`   // the program's, in those of the bare server; median of the rounds
	Errors    int     `json:"errors"`
}

// Fact is one number.
type Fact struct {
	Phase string  `json:"phase"`
	Of    string  `json:"of"` // the row's What; empty: the whole phase
	What  string  `json:"what"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	Note  string  `json:"note,omitempty"`
}

// row adds what was measured with t. cpu is what the program used meanwhile.
func (r *Report) row(phase, what string, t *tally, cpu time.Duration) *Row {
	done, failed := t.counts()
	row := Row{
		Phase: phase, What: what, Count: done, PerSecond: t.perSecond(),
		P50: milliseconds(t.quantile(0.5)), P99: milliseconds(t.quantile(0.99)), Errors: failed,
	}
	if done > 0 {
		row.CPU = milliseconds(max(0, cpu)) / float64(done)
	}
	r.Rows = append(r.Rows, row)
	r.count(t)
	return &r.Rows[len(r.Rows)-1]
}

// count adds the errors of a measurement that has no row, or will have one.
func (r *Report) count(t *tally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.Errors == nil {
		r.Errors = make(map[string]int)
	}
	for kind, n := range t.errors {
		r.Errors[kind] += n
	}
	r.Crossed += t.crossed
}

// enoughForP99 is a hundred pages in each round.
const enoughForP99 = 100 * rounds

// compare adds how the bare server did the same. Of the ratios of the p99s, the
// median counts: another program that takes the processors for a moment changes
// those of a few rounds, but a p99 of all rounds would be that moment.
func (row *Row) compare(bare *tally, cpu time.Duration, p99s []float64) {
	done, _ := bare.counts()
	if perSecond := bare.perSecond(); perSecond > 0 {
		row.Speed = row.PerSecond / perSecond
	}
	if each := milliseconds(cpu) / float64(max(1, done)); each > 0 {
		row.CPUs = row.CPU / each
	}
	if min(row.Count, done) >= enoughForP99 {
		slices.Sort(p99s)
		row.P99s = p99s[len(p99s)/2]
	}
}

func (r *Report) fact(phase, of, what string, value float64, unit string) *Fact {
	r.Facts = append(r.Facts, Fact{Phase: phase, Of: of, What: what, Value: value, Unit: unit})
	return &r.Facts[len(r.Facts)-1]
}

// bad reports whether anything went wrong.
func (r *Report) bad() bool { return len(r.Errors) > 0 || r.Crossed > 0 }

func (r *Report) writeJSON(w io.Writer) error {
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	return out.Encode(r)
}

// write writes the table.
func (r *Report) write(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "phase\tmeasured\tcount\tper second\tp50 ms\tp99 ms\tCPU ms each\tspeed / bare\tCPU / bare\tp99 / bare\terrors")
	for _, row := range r.Rows {
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\n", row.Phase, row.What, row.Count,
			number(row.PerSecond), number(row.P50), number(row.P99), number(row.CPU),
			number(row.Speed), number(row.CPUs), number(row.P99s), row.Errors)
	}
	fmt.Fprintln(table)
	for _, f := range r.Facts {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s %s  %s\n", f.Phase, f.Of, f.What, digits(f.Value), f.Unit, f.Note)
	}
	fmt.Fprintln(table)
	fmt.Fprintf(table, "all\tlogins that crossed\t%d\n", r.Crossed)
	total := 0
	for _, n := range r.Errors {
		total += n
	}
	fmt.Fprintf(table, "all\terrors\t%d\n", total)
	if err := table.Flush(); err != nil {
		return err
	}
	kinds := slices.SortedFunc(maps.Keys(r.Errors), func(a, b string) int {
		return cmp.Or(cmp.Compare(r.Errors[b], r.Errors[a]), cmp.Compare(a, b))
	})
	for _, kind := range kinds {
		fmt.Fprintf(w, "%6d × %s\n", r.Errors[kind], kind)
	}
	if r.Stopped {
		fmt.Fprintln(w, "Stopped before the end.")
	}
	return nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// number writes a measurement, or a dash for what is unknown.
func number(f float64) string {
	if f == 0 {
		return "-"
	}
	return digits(f)
}

// digits writes three digits, or all of a large number.
func digits(f float64) string {
	switch {
	case f >= 100 || f <= -100:
		return fmt.Sprintf("%.0f", f)
	case f >= 10 || f <= -10:
		return fmt.Sprintf("%.1f", f)
	case f >= 1 || f <= -1:
		return fmt.Sprintf("%.2f", f)
	}
	return fmt.Sprintf("%.3f", f)
}
