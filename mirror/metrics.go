package mirror

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mirrorfs/meta"
)

// register registers collectors; a nil registerer takes none.
func register(r prometheus.Registerer, cs ...prometheus.Collector) error {
	if r == nil {
		return nil
	}
	for _, c := range cs {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("register a metric of the mirror: %w", err)
		}
	}
	return nil
}

// engineMetrics count what an Engine sends to the source.
type engineMetrics struct {
	changes *prometheus.HistogramVec
	far     prometheus.Counter
}

// newEngineMetrics makes them; floors and down are asked for gauges.
func newEngineMetrics(r prometheus.Registerer, floors func() int, down func() bool) (*engineMetrics, error) {
	m := &engineMetrics{
		changes: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "mirrorfs_forwarded_change_seconds",
			Help:    "Time of changes sent to the source, by operation and outcome.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 15),
		}, []string{"op", "outcome"}),
		far: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "mirrorfs_far_reads_total",
			Help: "Metadata reads answered by the source.",
		}),
	}
	return m, register(r, m.changes, m.far, sourceUp(func() bool { return !down() }), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "mirrorfs_floors",
		Help: "Inodes and names seen at the source that this site does not have yet.",
	}, func() float64 { return float64(floors()) }))
}

// sourceUp is the gauge by which clients and runners tell whether the source answers.
func sourceUp(up func() bool) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "mirrorfs_source_up", Help: "1 unless the source did not answer when it was last asked.",
	}, func() float64 { return oneIf(up()) })
}

// oneIf is a truth as a gauge shows it.
func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func (m *engineMetrics) farRead() { m.far.Inc() }

func (m *engineMetrics) changed(op meta.Op, err error, d time.Duration) {
	outcome := "ok"
	switch {
	case err == nil:
	case errors.Is(err, meta.ErrUnreachable):
		outcome = "unreachable"
	default:
		outcome = "refused"
	}
	m.changes.WithLabelValues(op.String(), outcome).Observe(d.Seconds())
}

// storeMetrics count where a Store reads.
type storeMetrics struct {
	reads *prometheus.CounterVec
	kept  prometheus.Counter
}

func newStoreMetrics(r prometheus.Registerer) (*storeMetrics, error) {
	m := &storeMetrics{
		reads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mirrorfs_block_reads_total",
			Help: "Reads of blocks by the bucket that answered: near, the feeder's, the block's home, or another site's.",
		}, []string{"from"}),
		kept: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "mirrorfs_kept_blocks_total",
			Help: "Blocks read from afar and put into this site's bucket.",
		}),
	}
	for _, kind := range []string{kindNear, kindFeeder, kindHome, kindOther} {
		m.reads.WithLabelValues(kind) // they are looked for before there are any
	}
	return m, register(r, m.reads, m.kept)
}

func (m *storeMetrics) read(from string) { m.reads.WithLabelValues(from).Inc() }
