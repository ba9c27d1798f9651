package redis

import (
	"errors"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	goredis "github.com/redis/go-redis/v9"
)

// meters count calls of one server. The zero value counts nothing.
type meters struct {
	seconds        prometheus.ObserverVec
	errors         *prometheus.CounterVec
	sends          prometheus.Counter
	sent, received prometheus.Counter // bytes
}

// kindLost is the kind of a call that got no answer in time.
const kindLost = "lost"

// newMeters makes the meters of a server that is known by a name.
func newMeters(r prometheus.Registerer, name string) (meters, error) {
	if r == nil {
		return meters{}, nil
	}
	if name == "" {
		name = "here"
	}
	server := prometheus.Labels{"server": name}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append([]string{"server"}, labels...))
	}
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "mirrorfs_meta_call_seconds",
		Help:    "Time from sending a metadata call to its answer, resends included, by the server (here or the source's) and the function.",
		Buckets: prometheus.ExponentialBuckets(50e-6, 2, 18),
	}, []string{"server", "function"})
	failed := counter("mirrorfs_meta_errors_total", "Metadata calls that failed, by kind: the errno that was answered, or lost when no answer came in time.", "kind")
	sends := counter("mirrorfs_meta_round_trips_total", "Requests sent to Redis, resends included.")
	bytes := counter("mirrorfs_meta_bytes_total", "Bytes on the connections to Redis, by direction.", "direction")
	if err := errors.Join(register(r, &seconds), register(r, &failed), register(r, &sends), register(r, &bytes)); err != nil {
		return meters{}, err
	}
	m := meters{
		seconds: seconds.MustCurryWith(server), errors: failed.MustCurryWith(server), sends: sends.With(server),
		sent: bytes.WithLabelValues(name, "sent"), received: bytes.WithLabelValues(name, "received"),
	}
	m.errors.WithLabelValues(kindLost) // it is looked for before there is any
	return m, nil
}

// register registers a collector, or takes the one that an engine before has registered.
func register[C prometheus.Collector](r prometheus.Registerer, c *C) error {
	err := r.Register(*c)
	var already prometheus.AlreadyRegisteredError
	if errors.As(err, &already) {
		if existing, ok := already.ExistingCollector.(C); ok {
			*c = existing
			return nil
		}
	}
	return err
}

// send notes that a request goes out.
func (m *meters) send() {
	if m.sends != nil {
		m.sends.Inc()
	}
}

// observe notes a call that began at start and has ended.
func (m *meters) observe(function string, start time.Time, err error) {
	if m.seconds == nil {
		return
	}
	m.seconds.With(prometheus.Labels{"function": function}).Observe(time.Since(start).Seconds())
	if err != nil {
		m.errors.WithLabelValues(kindOf(err)).Inc()
	}
}

// kindOf is the first word of what the server answered: an errno, or what Redis itself says.
func kindOf(err error) string {
	var refused goredis.Error
	if !errors.As(err, &refused) {
		return kindLost
	}
	word, _, _ := strings.Cut(refused.Error(), " ")
	if word == "" || strings.Trim(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != "" {
		return "other"
	}
	return word
}
