package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// demoLatency is the median time of an operation at both sites.
type demoLatency struct {
	Op string        `json:"op"`
	A  time.Duration `json:"a_ns"`
	B  time.Duration `json:"b_ns"`
	// RoundTripsB is how many calls of the source's Redis one operation at B made;
	// 0 for operations that change nothing.
	RoundTripsB float64 `json:"round_trips_b,omitempty"`
}

// demoResult is what the demo found.
type demoResult struct {
	Tree             string        `json:"tree"`
	RTT              time.Duration `json:"rtt_ns"`
	Files            int64         `json:"files"`
	Dirs             int64         `json:"dirs"`
	Links            int64         `json:"links"`
	Bytes            int64         `json:"bytes"`
	CopySeconds      float64       `json:"copy_seconds"`
	CatchUpSeconds   float64       `json:"catch_up_seconds"`
	LagRecordsMax    int64         `json:"lag_records_max"`
	LagSecondsMax    float64       `json:"lag_seconds_max"`
	CompareSeconds   float64       `json:"compare_seconds"`
	WriteBackBytes   int64         `json:"write_back_bytes"`
	WriteBackSHA256  string        `json:"write_back_sha256"`
	WriteBackSeconds float64       `json:"write_back_seconds"`
	Latencies        []demoLatency `json:"latencies"`
}

// lag notes the worst lag seen.
func (r *demoResult) lag(m mirrorLag) {
	r.LagRecordsMax = max(r.LagRecordsMax, m.LagRecords)
	r.LagSecondsMax = max(r.LagSecondsMax, m.LagSeconds)
}

// write writes the tables.
func (r *demoResult) write(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintln(w)
	row("tree", "%s: %d files, %d directories, %d links, %s", r.Tree, r.Files, r.Dirs, r.Links, formatBytes(r.Bytes))
	row("copied in at A", "%.1f s, %.0f files/s", r.CopySeconds, float64(r.Files)/r.CopySeconds)
	row("lag at B meanwhile", "at most %d records, %.2f s", r.LagRecordsMax, r.LagSecondsMax)
	row("all readable at B", "%.2f s after the copy ended", r.CatchUpSeconds)
	row("compared", "every name, attribute and byte equal, in %.1f s", r.CompareSeconds)
	row("written back from B", "%s in %.1f s, sha256 equal at A", formatBytes(r.WriteBackBytes), r.WriteBackSeconds)
	fmt.Fprintln(w)
	_ = w.Flush()
	w = tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "median of one\tat A\tat B, %v away\tround trips at B\t\n", r.RTT)
	for _, l := range r.Latencies {
		trips := "-"
		if l.RoundTripsB > 0 {
			trips = fmt.Sprintf("%.2f", l.RoundTripsB)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t\n", l.Op, formatLatency(l.A), formatLatency(l.B), trips)
	}
	_ = w.Flush()
}

// formatLatency writes a time in milliseconds.
func formatLatency(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}
