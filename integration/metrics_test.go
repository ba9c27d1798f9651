package integration_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"mirrorfs/integration/harness"
)

// operations is where what an operator reads is, from this package.
const operations = "../docs/operations"

// exporter is a process of a site, and what it exports.
type exporter struct {
	name     string
	families map[string]*harness.Family
}

// exporters runs two sites, a mirror with a bucket of its own, and a gateway, and returns what their processes export
// when each has done some of everything.
func exporters(t *testing.T) []exporter {
	t.Helper()
	w := harness.New(t, program)
	metaA, metaB := w.Redis(), w.Redis()
	_, aFromB := w.Link(metaA, 0)
	w.Run("format", metaA, "vol", "--bucket", w.FileBucket("bucket-a"))
	w.Run("mirror", "add", aFromB, metaB, "--site", "b", "--data", "full", "--bucket", w.FileBucket("bucket-b"))
	runner := w.Start("mirror", "run", metaB, "--metrics", ":0")
	a := w.Mount("a", metaA, "--metrics", ":0")
	b := w.Mount("b", metaB, "--metrics", ":0")
	must(t, os.WriteFile(filepath.Join(a.Dir, "of-a"), bytes.Repeat([]byte("a"), 10_000), 0o644))
	must(t, os.WriteFile(filepath.Join(b.Dir, "of-b"), bytes.Repeat([]byte("b"), 10_000), 0o644))
	w.Run("mirror", "wait", metaB, "--timeout", "5m")
	for _, m := range []*harness.Mount{a, b} {
		for _, name := range []string{"of-a", "of-b"} {
			if _, err := os.ReadFile(filepath.Join(m.Dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	g := w.Gateway("g", metaA, "--audit", "-")
	file := filepath.Join(w.Dir("of-g"), "x")
	must(t, os.WriteFile(file, bytes.Repeat([]byte("g"), 10_000), 0o644))
	for _, args := range []string{"-T " + file + " $URL/vol/of-g", "$URL/vol/of-g"} {
		if got := statusOf(w, g, harness.GatewayKey, harness.GatewaySecret, args); got != "200" {
			t.Fatalf("%s: status %s", args, got)
		}
	}
	w.Run("mirror", "verify", metaB, "--meta-only")
	harness.Eventually(t, "the data at both sites, and the verification", 3*time.Minute, func() bool {
		in, _ := runner.TryMetric(`mirrorfs_replicated_objects_total{copying="data.2.in"}`)
		back, _ := runner.TryMetric(`mirrorfs_replicated_objects_total{copying="data.2.back"}`)
		return in > 0 && back > 0 && runner.Metric("mirrorfs_mirror_verified_timestamp_seconds") > 0 && runner.Metric(`mirrorfs_mirror_state{state="following"}`) == 1
	})
	harness.Eventually(t, "the mirror's report at the source", 3*time.Minute, func() bool {
		_, ok := a.TryMetric(`mirrorfs_site_mirror_lag_records{mirror="b",site="` + siteOf(a) + `",volume="vol"}`)
		return ok
	})
	var all []exporter
	for _, p := range []struct {
		name string
		*harness.Process
	}{{"mount", a.Process}, {"mount at a mirror", b.Process}, {"gateway", g.Process}, {"runner", runner}} {
		text := p.Exposition()
		all = append(all, exporter{p.name, harness.Families(text)})
		problems, err := promlint.New(strings.NewReader(text)).Lint()
		must(t, err)
		for _, problem := range problems {
			if strings.HasPrefix(problem.Metric, "mirrorfs_") {
				t.Errorf("%s: %s: %s", p.name, problem.Metric, problem.Text)
			}
		}
	}
	return all
}

// siteOf is the site that a mount says it is at.
func siteOf(m *harness.Mount) string {
	return harness.Families(m.Exposition())["mirrorfs_site_up"].Labels["site"][0]
}

// What docs/operations names is what the program exports: the table of metrics, the rules of alerts
// and the dashboard.
func TestOperatorsSeeWhatIsExported(t *testing.T) {
	all := exporters(t)
	known := map[string]*harness.Family{}
	for _, e := range all {
		for name, f := range e.families {
			if known[name] == nil {
				known[name] = &harness.Family{Name: name, Type: f.Type, Labels: map[string][]string{"instance": nil, "job": nil}}
			}
			for label, values := range f.Labels {
				known[name].Labels[label] = append(known[name].Labels[label], values...)
			}
		}
	}
	t.Run("table", func(t *testing.T) { checkTable(t, all) })
	t.Run("alerts", func(t *testing.T) { checkAlerts(t, known) })
	t.Run("dashboard", func(t *testing.T) { checkDashboard(t, known) })
}

const (
	tableBegins = "<!-- the table is written by: MIRRORFS_UPDATE=1 go test -run TestOperatorsSeeWhatIsExported ./integration -->\n"
	tableEnds   = "<!-- end of the table -->\n"
)

// checkTable compares the table of metrics with what is exported, or writes it.
func checkTable(t *testing.T, all []exporter) {
	name := filepath.Join(operations, "metrics.md")
	text, err := os.ReadFile(name)
	must(t, err)
	before, rest, ok := strings.Cut(string(text), tableBegins)
	have, after, ended := strings.Cut(rest, tableEnds)
	if !ok || !ended {
		t.Fatalf("%s has no table", name)
	}
	want := metricsTable(all)
	if have == want {
		return
	}
	if os.Getenv("MIRRORFS_UPDATE") != "" {
		must(t, os.WriteFile(name, []byte(before+tableBegins+want+tableEnds+after), 0o644))
		return
	}
	t.Errorf("%s does not tell what is exported; MIRRORFS_UPDATE=1 writes it anew. Lines that differ:\n%s", name, differing(have, want))
}

// metricsTable is the table of metrics: for each what it is, and who exports it.
func metricsTable(all []exporter) string {
	of := map[string][]string{}
	families := map[string]*harness.Family{}
	for _, e := range all {
		for name, f := range e.families {
			of[name] = append(of[name], e.name)
			families[name] = f
		}
	}
	var b strings.Builder
	b.WriteString("| metric | type, labels | of | what it tells |\n|---|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(families)) {
		f := families[name]
		kind := f.Type
		if labels := slices.Sorted(maps.Keys(f.Labels)); len(labels) > 0 {
			kind += ": " + strings.Join(labels, ", ")
		}
		who := strings.Join(of[name], ", ")
		if len(of[name]) == len(all) {
			who = "all"
		} else {
			who = strings.Replace(who, "mount, mount at a mirror", "mounts", 1)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, kind, who, f.Help)
	}
	return b.String()
}

func differing(have, want string) string {
	var b strings.Builder
	for line := range strings.Lines(have) {
		if !strings.Contains(want, line) {
			b.WriteString("- " + line)
		}
	}
	for line := range strings.Lines(want) {
		if !strings.Contains(have, line) {
			b.WriteString("+ " + line)
		}
	}
	return b.String()
}
