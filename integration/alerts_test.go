package integration_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"mirrorfs/integration/harness"
)

// alertRules is a file of Prometheus with rules.
type alertRules struct {
	Groups []struct {
		Name  string `yaml:"name"`
		Rules []struct {
			Alert       string            `yaml:"alert"`
			Expr        string            `yaml:"expr"`
			For         string            `yaml:"for"`
			Labels      map[string]string `yaml:"labels"`
			Annotations map[string]string `yaml:"annotations"`
		} `yaml:"rules"`
	} `yaml:"groups"`
}

// checkAlerts holds the rules against what is exported, and each against its line in the runbook.
func checkAlerts(t *testing.T, known map[string]*harness.Family) {
	f, err := os.Open(filepath.Join(operations, "alerts.yml"))
	must(t, err)
	defer func() { _ = f.Close() }()
	var rules alertRules
	decoder := yaml.NewDecoder(f)
	decoder.KnownFields(true)
	must(t, decoder.Decode(&rules))
	runbook, err := os.ReadFile(filepath.Join(operations, "runbook.md"))
	must(t, err)
	seen := 0
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			seen++
			checkExpr(t, r.Alert, r.Expr, known)
			if r.Labels["severity"] == "" || r.Annotations["summary"] == "" {
				t.Errorf("%s has no severity or no summary", r.Alert)
			}
			anchor := "runbook.md#" + strings.ToLower(r.Alert)
			if !strings.HasSuffix(r.Annotations["runbook_url"], anchor) {
				t.Errorf("%s: its runbook is %q, want ...%s", r.Alert, r.Annotations["runbook_url"], anchor)
			}
			if !strings.Contains(string(runbook), "\n### "+r.Alert+"\n") {
				t.Errorf("the runbook has no part %s", r.Alert)
			}
		}
	}
	if parts := strings.Count(string(runbook), "\n### "); parts != seen || seen == 0 {
		t.Errorf("the runbook has %d parts for %d alerts", parts, seen)
	}
}

// checkDashboard holds every query of the dashboard against what is exported.
func checkDashboard(t *testing.T, known map[string]*harness.Family) {
	text, err := os.ReadFile(filepath.Join(operations, "dashboard.json"))
	must(t, err)
	var dashboard struct {
		Title  string `json:"title"`
		UID    string `json:"uid"`
		Panels []struct {
			Title   string `json:"title"`
			Type    string `json:"type"`
			Targets []struct {
				Expr string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
		Templating struct {
			List []struct {
				Name  string `json:"name"`
				Query any    `json:"query"`
			} `json:"list"`
		} `json:"templating"`
	}
	must(t, json.Unmarshal(text, &dashboard))
	if dashboard.Title == "" || dashboard.UID == "" || len(dashboard.Panels) == 0 {
		t.Error("the dashboard has no title, no uid or no panels")
	}
	for _, p := range dashboard.Panels {
		if p.Type == "row" {
			continue
		}
		if len(p.Targets) == 0 {
			t.Errorf("panel %s shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			checkExpr(t, p.Title, target.Expr, known)
		}
	}
	for _, v := range dashboard.Templating.List {
		if query, ok := v.Query.(string); ok && strings.Contains(query, "mirrorfs_") {
			checkExpr(t, "variable "+v.Name, query, known)
		}
	}
}

var (
	selector = regexp.MustCompile(`(mirrorfs_[a-z_]+)(?:\{([^}]*)\})?`)
	matcher  = regexp.MustCompile(`([a-z_]+)\s*(=~|!~|!=|=)\s*"([^"]*)"`)
	grouping = regexp.MustCompile(`\b(?:by|on|ignoring|without|group_left)\s*\(([^)]*)\)`)
)

// checkExpr holds the metrics of a query, their labels and the values of those against what is exported.
func checkExpr(t *testing.T, where, expr string, known map[string]*harness.Family) {
	t.Helper()
	found := selector.FindAllStringSubmatch(expr, -1)
	if len(found) == 0 {
		t.Errorf("%s asks for no metric of ours: %s", where, expr)
	}
	labels := map[string]bool{"le": true, "job": true, "instance": true}
	for _, s := range found {
		name := s[1]
		f := known[name]
		for _, suffix := range []string{"_bucket", "_count", "_sum"} {
			if base, ok := strings.CutSuffix(name, suffix); ok && f == nil && known[base] != nil && known[base].Type == "histogram" {
				f = known[base]
			}
		}
		if f == nil {
			t.Errorf("%s asks for %s, which nobody exports", where, name)
			continue
		}
		for label := range f.Labels {
			labels[label] = true
		}
		for _, m := range matcher.FindAllStringSubmatch(s[2], -1) {
			values, ok := f.Labels[m[1]]
			if !ok {
				t.Errorf("%s: %s has no label %s", where, name, m[1])
			}
			if m[2] == "=" && !strings.Contains(m[3], "$") && !slices.Contains(values, m[3]) {
				t.Errorf("%s: %s{%s} is never %q: %q", where, name, m[1], m[3], values)
			}
		}
	}
	for _, g := range grouping.FindAllStringSubmatch(expr, -1) {
		for label := range strings.SplitSeq(g[1], ",") {
			if label = strings.TrimSpace(label); label != "" && !labels[label] {
				t.Errorf("%s groups by %s, which is no label of what it asks for: %s", where, label, expr)
			}
		}
	}
}
