package audit

import (
	"fmt"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"mirrorfs/gateway"
)

// Metrics count requests by operation and status.
type Metrics struct {
	requests       *prometheus.CounterVec
	seconds        *prometheus.HistogramVec
	received, sent *prometheus.CounterVec
	aborted        prometheus.Counter
}

// Gauges are asked for when metrics are collected; nil ones are left out.
type Gauges struct {
	// InFlight is requests under way, Refused those that were too many, Connections those open.
	InFlight, Refused, Connections func() float64
	// AuditFailures is requests that could not be written down.
	AuditFailures func() float64
}

// NewMetrics makes metrics and registers them; nil registers nothing.
func NewMetrics(reg prometheus.Registerer, g Gauges) (*Metrics, error) {
	opts := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: "mirrorfs", Subsystem: "gateway", Name: name, Help: help}
	}
	m := &Metrics{
		requests: prometheus.NewCounterVec(opts("requests_total", "Requests answered, by operation and HTTP status."), []string{"operation", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "mirrorfs", Subsystem: "gateway", Name: "request_seconds",
			Help: "Time from a request's header to the last byte of its answer, by operation.", Buckets: prometheus.ExponentialBuckets(0.0005, 4, 10),
		}, []string{"operation"}),
		received: prometheus.NewCounterVec(opts("received_bytes_total", "Bytes of the bodies of requests, by operation."), []string{"operation"}),
		sent:     prometheus.NewCounterVec(opts("sent_bytes_total", "Bytes of the bodies of answers, by operation."), []string{"operation"}),
		aborted:  prometheus.NewCounter(opts("aborted_total", "Answers of which the client did not take everything.")),
	}
	if reg == nil {
		return m, nil
	}
	all := []prometheus.Collector{m.requests, m.seconds, m.received, m.sent, m.aborted}
	for _, gauge := range []struct {
		name, help string
		value      func() float64
	}{
		{"requests_in_flight", "Requests under way.", g.InFlight},
		{"connections", "Connections open.", g.Connections},
	} {
		if gauge.value != nil {
			all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts(opts(gauge.name, gauge.help)), gauge.value))
		}
	}
	for _, counter := range []struct {
		name, help string
		value      func() float64
	}{
		{"refused_total", "Requests answered with SlowDown, as too many were under way.", g.Refused},
		{"audit_failures_total", "Requests that could not be written to the audit log.", g.AuditFailures},
	} {
		if counter.value != nil {
			all = append(all, prometheus.NewCounterFunc(opts(counter.name, counter.help), counter.value))
		}
	}
	for _, c := range all {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

// Served counts a request.
func (m *Metrics) Served(s *gateway.Served) {
	m.requests.WithLabelValues(s.Operation, strconv.Itoa(s.Status)).Inc()
	m.seconds.WithLabelValues(s.Operation).Observe(s.Took.Seconds())
	m.received.WithLabelValues(s.Operation).Add(float64(s.Received))
	m.sent.WithLabelValues(s.Operation).Add(float64(s.Sent))
	if s.Aborted {
		m.aborted.Inc()
	}
}
