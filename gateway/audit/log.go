package audit

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"mirrorfs/gateway"
)

// MaxFieldBytes is how much of what a client chose is written down. A key has at most 1024.
const MaxFieldBytes = 1024

// Log writes a line for each request.
type Log struct {
	mu       sync.Mutex
	w        io.Writer
	log      *slog.Logger
	failures atomic.Int64
}

// NewLog makes a log that writes to w, which is best opened for appending. logger hears of
// failures; nil hears nothing.
func NewLog(w io.Writer, logger *slog.Logger) *Log {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Log{w: w, log: logger}
}

// line is a line of the log.
type line struct {
	Time      string  `json:"time"`
	ID        string  `json:"id"`
	Remote    string  `json:"remote"`
	Key       string  `json:"key,omitempty"`
	Operation string  `json:"operation"`
	Bucket    string  `json:"bucket,omitempty"`
	Object    string  `json:"object,omitempty"`
	Status    int     `json:"status"`
	Error     string  `json:"error,omitempty"`
	Received  int64   `json:"received"`
	Sent      int64   `json:"sent"`
	Aborted   bool    `json:"aborted,omitempty"`
	Seconds   float64 `json:"seconds"`
	Agent     string  `json:"agent,omitempty"`
}

// Served writes down a request.
func (l *Log) Served(s *gateway.Served) {
	text, err := json.Marshal(line{
		Time: s.Began.UTC().Format("2006-01-02T15:04:05.000Z"), ID: s.RequestID, Remote: s.Remote, Key: s.AccessKey,
		Operation: s.Operation, Bucket: cut(s.Bucket), Object: cut(s.Key), Status: s.Status, Error: s.Code,
		Received: s.Received, Sent: s.Sent, Aborted: s.Aborted, Seconds: float64(s.Took.Round(time.Microsecond)) / float64(time.Second),
		Agent: cut(s.Agent),
	})
	if err == nil {
		l.mu.Lock()
		_, err = l.w.Write(append(text, '\n'))
		l.mu.Unlock()
	}
	if err != nil && l.failures.Add(1) == 1 {
		l.log.ErrorContext(context.Background(), "the audit log cannot be written", slog.Any("error", err))
	}
}

// Failures is how many requests could not be written down.
func (l *Log) Failures() int64 { return l.failures.Load() }

func cut(s string) string {
	if len(s) <= MaxFieldBytes {
		return s
	}
	return strings.ToValidUTF8(s[:MaxFieldBytes], "")
}
