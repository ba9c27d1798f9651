package mirror_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mirrorfs/meta"
	"mirrorfs/mirror"
)

// fields gives the names in the JSON of a value.
func fields(t testing.TB, v any) []string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(m))
}

func TestStatusJSON(t *testing.T) {
	w := modelWorld(t)
	w.add(t)
	start(t, w.config(t))
	w.wait(t)
	want := []string{"applied", "data", "lag_records", "lag_seconds", "position", "reason", "role", "site", "state", "volume"}
	here := w.status(t)
	if got := fields(t, here); !slices.Equal(got, slices.Sorted(slices.Values(append(want, "seen", "runner")))) {
		t.Errorf("at the mirror: %q", got)
	}
	if got := fields(t, here.Data); !slices.Equal(got, []string{"complete_to", "mode", "pending_bytes", "pending_objects"}) {
		t.Errorf("data: %q", got)
	}
	if here.Role != "mirror" || here.Site != "away" || here.Volume != "test" || here.Data.Mode != "demand" {
		t.Errorf("at the mirror: %+v", here)
	}
	there, err := mirror.GetStatus(t.Context(), w.source, mirror.StatusOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := fields(t, there); !slices.Equal(got, slices.Sorted(slices.Values(append(want, "mirrors")))) {
		t.Errorf("at the source: %q", got)
	}
	if there.Role != "source" || there.Site != "home" || there.State != mirror.StateFollowing || there.LagRecords != 0 {
		t.Errorf("at the source: %+v", there)
	}
}

// The lag is how old the oldest change is that is not here.
func TestStatusOfALaggingMirror(t *testing.T) {
	s := stillMirror(t, mirror.EngineOptions{})
	w := session(t, mustClient(t, s.world))
	s.catchUp(t)
	change(t, w, file(meta.RootIno, "a"))
	change(t, w, file(meta.RootIno, "b"))
	now := func() time.Time { return time.Now().Add(time.Hour) }
	st, err := mirror.GetStatus(t.Context(), s.source, mirror.StatusOptions{Now: now})
	if err != nil || len(st.Mirrors) != 1 {
		t.Fatalf("%+v, %v", st, err)
	}
	m := st.Mirrors[0]
	if m.LagRecords < 2 || m.LagSeconds < 3590 || m.LagSeconds > 3700 || !strings.Contains(m.Reason, "not heard of since") {
		t.Errorf("at the source: %+v", m)
	}
	here := s.status(t)
	if here.LagRecords != 2 || here.Position != mustState(t, s.source).Position {
		t.Errorf("at the mirror: %+v", here)
	}
	s.catchUp(t)
	if here = s.status(t); here.LagRecords != 0 || here.LagSeconds != 0 {
		t.Errorf("caught up: %+v", here)
	}
}

func TestStatusBeforeARunner(t *testing.T) {
	w := modelWorld(t)
	w.add(t)
	if st := w.status(t); st.State != mirror.StateBootstrapping || !strings.Contains(st.Reason, "mirrorfs mirror run") {
		t.Errorf("at the mirror: %+v", st)
	}
	st, err := mirror.GetStatus(t.Context(), w.source, mirror.StatusOptions{})
	if err != nil || len(st.Mirrors) != 1 || st.Mirrors[0].State != mirror.StateBootstrapping {
		t.Errorf("at the source: %+v, %v", st, err)
	}
}

func TestMetrics(t *testing.T) {
	w := modelWorld(t)
	writer := newChurn(session(t, mustClient(t, w)), seeded(t), "w")
	w.add(t)
	reg := prometheus.NewRegistry()
	cfg := w.config(t)
	cfg.Metrics = reg
	start(t, cfg)
	w.wait(t)
	writer.run(t, 100)
	at := w.wait(t)
	value := func(name, label string) float64 {
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() != name {
				continue
			}
			for _, m := range f.GetMetric() {
				if label == "" || len(m.GetLabel()) == 1 && m.GetLabel()[0].GetValue() == label {
					return m.GetCounter().GetValue() + m.GetGauge().GetValue()
				}
			}
		}
		t.Fatalf("no metric %s", name)
		return 0
	}
	until(t, "the metrics tell", func() bool {
		return value("mirrorfs_mirror_applied_seq", "") == float64(at.Seq) && value("mirrorfs_mirror_lag_records", "") == 0 &&
			value("mirrorfs_mirror_state", "following") == 1 && value("mirrorfs_mirror_state", "stalled") == 0
	})
	if value("mirrorfs_mirror_applied_records_total", "") == 0 || value("mirrorfs_mirror_applied_bytes_total", "") == 0 || value("mirrorfs_mirror_copied_bytes_total", "") == 0 {
		t.Error("nothing was counted")
	}
	cfg.Metrics = reg
	if err := mirror.Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "metric") {
		t.Errorf("a second runner with the same registry: %v", err)
	}
}
