package harness

import (
	"slices"
	"strings"
)

// Family is a metric as a process exports it.
type Family struct {
	Name, Type, Help string
	// Labels holds the values that were seen of each label.
	Labels map[string][]string
}

// Exposition is all that a process that was started with --metrics :0 exports, as text.
func (p *Process) Exposition() string {
	p.t.Helper()
	return p.get(p.metricsURL())
}

// Families reads the metrics of the project out of what a process exports, by name. Of a histogram,
// the series that it is made of count as its own.
func Families(exposition string) map[string]*Family {
	families := map[string]*Family{}
	of := func(name string) *Family {
		if families[name] == nil {
			families[name] = &Family{Name: name, Labels: map[string][]string{}}
		}
		return families[name]
	}
	for line := range strings.Lines(exposition) {
		line = strings.TrimSuffix(line, "\n")
		if rest, ok := strings.CutPrefix(line, "# HELP mirrorfs_"); ok {
			name, help, _ := strings.Cut(rest, " ")
			of("mirrorfs_" + name).Help = help
		}
		if rest, ok := strings.CutPrefix(line, "# TYPE mirrorfs_"); ok {
			name, kind, _ := strings.Cut(rest, " ")
			of("mirrorfs_" + name).Type = kind
		}
		if !strings.HasPrefix(line, "mirrorfs_") {
			continue
		}
		name := line[:strings.IndexAny(line, "{ ")]
		if base := histogramOf(name); families[base] != nil && families[base].Type == "histogram" {
			name = base
		}
		for label, value := range labelsOf(line) {
			if label != "le" && !slices.Contains(of(name).Labels[label], value) {
				of(name).Labels[label] = append(of(name).Labels[label], value)
			}
		}
	}
	return families
}

// histogramOf is the name without what the series of a histogram have behind it.
func histogramOf(name string) string {
	for _, suffix := range []string{"_bucket", "_count", "_sum"} {
		if base, ok := strings.CutSuffix(name, suffix); ok {
			return base
		}
	}
	return name
}

// labelsOf reads the labels of a line. No value of ours holds a quote or a brace.
func labelsOf(line string) map[string]string {
	labels := map[string]string{}
	_, inner, ok := strings.Cut(line, "{")
	if !ok {
		return labels
	}
	inner, _, _ = strings.Cut(inner, "}")
	for pair := range strings.SplitSeq(inner, `",`) {
		name, value, _ := strings.Cut(pair, `="`)
		labels[name] = strings.TrimSuffix(value, `"`)
	}
	return labels
}
