package bucket

import (
	"slices"
	"time"
)

// Outcome of one question that Check asks, from good to bad.
type Outcome string

// The outcomes.
const (
	OK      Outcome = "ok"
	Skipped Outcome = "skipped" // something before it failed
	Warning Outcome = "warning" // a volume works, but not as well as it could
	Failed  Outcome = "failed"  // no volume works
)

// Finding is the answer to one question.
type Finding struct {
	Question string  `json:"question"`         // what was asked, such as "put-if-absent"
	Outcome  Outcome `json:"outcome"`          //
	Detail   string  `json:"detail,omitempty"` // what was seen
	Advice   string  `json:"advice,omitempty"` // what to do about it
}

// Report is what Check found, in the order in which it asked.
type Report struct {
	Bucket   string    `json:"bucket"` // address without secrets
	Outcome  Outcome   `json:"outcome"`
	Findings []Finding `json:"findings"`
	Seconds  float64   `json:"seconds"`
}

// conclude sets what the findings come to.
func (r *Report) conclude(took time.Duration) {
	r.Seconds = took.Seconds()
	r.Outcome = OK
	for _, o := range []Outcome{Warning, Failed} {
		if slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Outcome == o }) {
			r.Outcome = o
		}
	}
}
