package replicate

import "github.com/prometheus/client_golang/prometheus"

// Metrics count what one copying does. A nil *Metrics counts nothing. They outlive
// the Replicator, which may be made anew.
type Metrics struct {
	objects, bytes, there, errors prometheus.Counter
}

// NewMetrics makes them with a value of the label "copying", and registers them if r is
// not nil.
func NewMetrics(r prometheus.Registerer, copying string) (*Metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: prometheus.Labels{"copying": copying}})
	}
	m := &Metrics{
		objects: counter("mirrorfs_replicated_objects_total", "Blocks copied between buckets."),
		bytes:   counter("mirrorfs_replicated_bytes_total", "Bytes of the blocks copied between buckets."),
		there:   counter("mirrorfs_replicate_found_total", "Blocks that were to be copied and were there."),
		errors:  counter("mirrorfs_replicate_errors_total", "Attempts to copy a block that failed."),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.objects, m.bytes, m.there, m.errors} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *Metrics) copied(bytes int) {
	if m != nil {
		m.objects.Inc()
		m.bytes.Add(float64(bytes))
	}
}

func (m *Metrics) found() {
	if m != nil {
		m.there.Inc()
	}
}

func (m *Metrics) failed() {
	if m != nil {
		m.errors.Inc()
	}
}
