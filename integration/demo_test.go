package integration_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mirrorfs/integration/harness"
)

// The demo ends well on a small tree, tells what it found, and leaves nothing.
func TestDemo(t *testing.T) {
	w := harness.New(t, program)
	dir := w.Dir("demo")
	out := w.Run("demo", "--dir", dir, "--tree", filepath.Join(goSource(t), "net"), "--rtt", "10ms", "--json")
	var result struct {
		Files           int64  `json:"files"`
		WriteBackSHA256 string `json:"write_back_sha256"`
		Latencies       []struct {
			Op          string  `json:"op"`
			B           int64   `json:"b_ns"`
			RoundTripsB float64 `json:"round_trips_b"`
		} `json:"latencies"`
	}
	must(t, json.Unmarshal([]byte(out), &result))
	if result.Files < 100 || len(result.WriteBackSHA256) != 64 || len(result.Latencies) < 5 {
		t.Errorf("result: %s", out)
	}
	for _, l := range result.Latencies {
		// A heartbeat or a report of the runner may be counted with them.
		if l.RoundTripsB > 1.2 {
			t.Errorf("%s at B takes %.2f round trips, want 1", l.Op, l.RoundTripsB)
		}
	}
	isEmpty(t, dir)
}

// The benchmark fills its table, and leaves nothing.
func TestBench(t *testing.T) {
	w := harness.New(t, program)
	dir := w.Dir("bench")
	out := w.Run("bench", "--dir", dir, "--data", "8MiB", "--files", "80", "--ops", "160", "--json")
	var result struct {
		Rows []struct {
			Job    string  `json:"job"`
			Volume float64 `json:"volume_per_second"`
			Disk   float64 `json:"disk_per_second"`
		} `json:"rows"`
		RedisBytesPerFile float64 `json:"redis_bytes_per_file"`
		ClientBytes       int64   `json:"client_bytes"`
	}
	must(t, json.Unmarshal([]byte(out), &result))
	seen := map[string]bool{}
	for _, r := range result.Rows {
		seen[strings.Fields(r.Job)[0]] = true
		if r.Volume <= 0 || r.Disk <= 0 {
			t.Errorf("%s: %v on the volume, %v on the disk", r.Job, r.Volume, r.Disk)
		}
	}
	for _, job := range []string{"create", "stat", "readdir", "open+read", "rename", "unlink", "read", "write"} {
		if !seen[job] {
			t.Errorf("no row %q", job)
		}
	}
	if result.RedisBytesPerFile <= 0 || result.ClientBytes <= 0 {
		t.Errorf("memory: %s", out)
	}
	isEmpty(t, dir)
}

func isEmpty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	must(t, err)
	if len(left) > 0 {
		t.Errorf("%s is left in %s", left[0].Name(), dir)
	}
}
