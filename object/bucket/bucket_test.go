package bucket_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"mirrorfs/object"
	"mirrorfs/object/bucket"
	"mirrorfs/object/file"
	"mirrorfs/object/mem"
	"mirrorfs/object/s3"
	"mirrorfs/object/s3/s3test"
)

// quick is a check that does not measure for long.
func quick() bucket.CheckOptions {
	return bucket.CheckOptions{BlockBytes: 64 << 10, Connections: 4, Throughput: time.Millisecond, Samples: 3}
}

// outcomes gives what became of each question, without those that went well, and without
// how fast it was: that depends on what else the machine does.
func outcomes(t *testing.T, r *bucket.Report) map[string]bucket.Outcome {
	t.Helper()
	speed := []string{"latency", "throughput, writing", "throughput, reading"}
	m := map[string]bucket.Outcome{}
	for _, f := range r.Findings {
		if f.Outcome == bucket.OK || f.Outcome == bucket.Warning && slices.Contains(speed, f.Question) {
			continue
		}
		m[f.Question] = f.Outcome
		if f.Detail == "" || f.Outcome != bucket.Skipped && f.Advice == "" {
			t.Errorf("%s does not say what happened and what to do: %+v", f.Question, f)
		}
	}
	return m
}

// stores opens clients of one bucket of each kind that is real here.
func stores(t *testing.T) map[string]func() (object.Store, error) {
	t.Helper()
	dir := t.TempDir()
	space := &mem.Space{}
	server := s3test.Start(t)
	t.Setenv("AWS_ACCESS_KEY_ID", server.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", server.SecretKey)
	client := func() (object.Store, error) {
		return s3.New(t.Context(), s3.Options{Bucket: "checked", Endpoint: server.Endpoint, Region: s3test.Region, PathStyle: true})
	}
	s, err := client()
	if err != nil {
		t.Fatal(err)
	}
	creator, ok := object.As[object.Creator](s)
	if !ok {
		t.Fatal("an S3 store makes no bucket")
	}
	if err := errors.Join(creator.Create(t.Context()), s.Close()); err != nil {
		t.Fatal(err)
	}
	return map[string]func() (object.Store, error){
		"file": func() (object.Store, error) { return file.New(dir) },
		"mem":  func() (object.Store, error) { return space.Store("checked"), nil },
		"s3":   client,
	}
}

// Stores that work will do, and nothing is left in them.
func TestCheckOfStoresThatWork(t *testing.T) {
	for name, open := range stores(t) {
		t.Run(name, func(t *testing.T) {
			near, far := pair(t, open)
			report, err := bucket.Check(t.Context(), near, far, quick())
			if err != nil {
				t.Fatal(err)
			}
			if bad := outcomes(t, &report); len(bad) > 0 || report.Outcome == bucket.Failed || len(report.Findings) != 14 {
				t.Errorf("%s: %+v", report.Outcome, report.Findings)
			}
			nothingLeft(t, near)
		})
	}
}

func pair(t *testing.T, open func() (object.Store, error)) (near, far object.Store) {
	t.Helper()
	near, err := open()
	if err != nil {
		t.Fatal(err)
	}
	if far, err = open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(near.Close(), far.Close()); err != nil {
			t.Error(err)
		}
	})
	return near, far
}

func nothingLeft(t *testing.T, s object.Store) {
	t.Helper()
	if left, err := s.List(t.Context(), "probe/", "", 10); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A store that breaks one promise is found out by the question about it, and those that
// make no sense any more are not asked.
func TestCheckOfStoresThatDoNot(t *testing.T) {
	for _, broken := range breakages() {
		t.Run(broken.name, func(t *testing.T) {
			inner := mem.New("checked")
			s := &breaking{Store: inner, how: broken}
			report, err := bucket.Check(t.Context(), s, s, quick())
			if err != nil {
				t.Fatal(err)
			}
			bad := outcomes(t, &report)
			if bad[broken.found] != broken.as {
				t.Errorf("%s is %q: %+v", broken.found, bad[broken.found], report.Findings)
			}
			if report.Outcome != broken.as {
				t.Errorf("in all it is %s", report.Outcome)
			}
			delete(bad, broken.found)
			maps.DeleteFunc(bad, func(_ string, o bucket.Outcome) bool { return broken.needed && o == bucket.Skipped })
			if len(bad) > 0 {
				t.Errorf("and %v", bad)
			}
			if broken.needed && report.Findings[len(report.Findings)-1].Outcome != bucket.Skipped {
				t.Error("it went on")
			}
			if broken.name != "deletions are denied" {
				nothingLeft(t, inner)
			}
		})
	}
}

// A check that is given up removes what it wrote, and has no result.
func TestCheckGivenUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	inner := mem.New("checked")
	s := &breaking{Store: inner, how: breakage{name: "given up", put: func(object.Store, string, []byte) error { cancel(); return nil }}}
	if _, err := bucket.Check(ctx, s, s, quick()); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	nothingLeft(t, inner)
}

// Each operation is measured with each number of connections, and nothing is left.
func TestBench(t *testing.T) {
	for name, open := range stores(t) {
		t.Run(name, func(t *testing.T) {
			s, _ := pair(t, open)
			said := 0
			rows, err := bucket.Bench(t.Context(), s, bucket.BenchOptions{
				BlockBytes: 64 << 10, Connections: []int{1, 3}, Time: time.Millisecond, Progress: func(string) { said++ },
			})
			if err != nil {
				t.Fatal(err)
			}
			seen := map[string]bool{}
			for _, r := range rows {
				seen[fmt.Sprint(r.Operation, r.Connections)] = true
				if r.Count < r.Connections || r.PerSecond <= 0 || r.P50 > r.P99 || (r.Bytes > 0) != (r.MiBPerSec > 0) {
					t.Errorf("%+v", r)
				}
			}
			if len(seen) != 14 || said != 14 {
				t.Errorf("%d rows, %d told: %+v", len(seen), said, rows)
			}
			nothingLeft(t, s)
		})
	}
}

// Bench ends with the first error, and cleans up.
func TestBenchOfAStoreThatFails(t *testing.T) {
	inner := mem.New("checked")
	s := &breaking{Store: inner, how: breakage{name: "headless", head: func(object.Store, string) (object.Info, error) {
		return object.Info{}, object.ErrDenied
	}}}
	rows, err := bucket.Bench(t.Context(), s, bucket.BenchOptions{BlockBytes: 1 << 10, Time: time.Millisecond})
	if !errors.Is(err, object.ErrDenied) || rows != nil {
		t.Errorf("%v, %v", rows, err)
	}
	nothingLeft(t, inner)
}
