package redis

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	goredis "github.com/redis/go-redis/v9"
)

// meters count calls. The zero value counts nothing.
type meters struct {
	seconds *prometheus.HistogramVec
	lost    prometheus.Counter
}

func newMeters(r prometheus.Registerer) (meters, error) {
	if r == nil {
		return meters{}, nil
	}
	m := meters{
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "mirrorfs_meta_call_seconds",
			Help:    "Time from sending a metadata call to its answer, resends included.",
			Buckets: prometheus.ExponentialBuckets(50e-6, 2, 18),
		}, []string{"function"}),
		lost: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "mirrorfs_meta_lost_calls_total",
			Help: "Metadata calls that got no answer in time.",
		}),
	}
	return m, errors.Join(register(r, &m.seconds), register(r, &m.lost))
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

func (m *meters) observe(function string, start time.Time, err error) {
	if m.seconds == nil {
		return
	}
	m.seconds.WithLabelValues(function).Observe(time.Since(start).Seconds())
	var refused goredis.Error
	if err != nil && !errors.As(err, &refused) {
		m.lost.Inc()
	}
}
