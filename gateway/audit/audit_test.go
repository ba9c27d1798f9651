package audit_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"mirrorfs/gateway"
	"mirrorfs/gateway/audit"
)

func served() *gateway.Served {
	return &gateway.Served{
		Operation: "GetObject", Name: gateway.Name{Bucket: "models", Key: "a\nb\xff"}, Caller: gateway.Caller{AccessKey: "AK"},
		Remote: "127.0.0.1:1", Agent: strings.Repeat("x", 5000), RequestID: "R", Status: 206, Sent: 100, Aborted: true,
		Began: time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC), Took: 1500 * time.Microsecond,
	}
}

func TestLog(t *testing.T) {
	var out bytes.Buffer
	l := audit.NewLog(&out, nil)
	l.Served(served())
	l.Served(&gateway.Served{Operation: "PutObject", Status: 403, Code: "AccessDenied"})
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines of two requests:\n%s", len(lines), out.String())
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(lines[0]), &got); err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]any{
		"time": "2026-01-02T03:04:05.006Z", "id": "R", "remote": "127.0.0.1:1", "key": "AK", "operation": "GetObject", "bucket": "models",
		"object": "a\nb\ufffd", "status": 206.0, "sent": 100.0, "received": 0.0, "aborted": true, "seconds": 0.0015, "agent": strings.Repeat("x", audit.MaxFieldBytes),
	} {
		if got[k] != want {
			t.Errorf("%s: %v, want %v", k, got[k], want)
		}
	}
	if !strings.Contains(lines[1], `"error":"AccessDenied"`) {
		t.Error(lines[1])
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space") }

func TestFailuresAreToldOnceAndCounted(t *testing.T) {
	var log bytes.Buffer
	l := audit.NewLog(full{}, slog.New(slog.NewTextHandler(&log, nil)))
	for range 3 {
		l.Served(served())
	}
	if l.Failures() != 3 || strings.Count(log.String(), "no space") != 1 {
		t.Errorf("%d failures, log:\n%s", l.Failures(), log.String())
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	one := func() float64 { return 1 }
	m, err := audit.NewMetrics(reg, audit.Gauges{InFlight: one, Refused: one, Connections: one, AuditFailures: one})
	if err != nil {
		t.Fatal(err)
	}
	m.Served(served())
	m.Served(served())
	want := `
		# HELP mirrorfs_gateway_requests_total Requests answered, by operation and HTTP status.
		# TYPE mirrorfs_gateway_requests_total counter
		mirrorfs_gateway_requests_total{operation="GetObject",status="206"} 2
		# HELP mirrorfs_gateway_sent_bytes_total Bytes of the bodies of answers, by operation.
		# TYPE mirrorfs_gateway_sent_bytes_total counter
		mirrorfs_gateway_sent_bytes_total{operation="GetObject"} 200
		# HELP mirrorfs_gateway_aborted_total Answers of which the client did not take everything.
		# TYPE mirrorfs_gateway_aborted_total counter
		mirrorfs_gateway_aborted_total 2
	`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "mirrorfs_gateway_requests_total", "mirrorfs_gateway_sent_bytes_total", "mirrorfs_gateway_aborted_total"); err != nil {
		t.Error(err)
	}
	if n, err := testutil.GatherAndCount(reg); err != nil || n != 9 {
		t.Errorf("%d metrics, %v", n, err)
	}
	if _, err := audit.NewMetrics(reg, audit.Gauges{}); err == nil {
		t.Error("registered twice")
	}
	if _, err := audit.NewMetrics(nil, audit.Gauges{}); err != nil {
		t.Error(err)
	}
}
