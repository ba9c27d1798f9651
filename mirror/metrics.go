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

func newEngineMetrics(r prometheus.Registerer, floors func() int) (*engineMetrics, error) {
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
	return m, register(r, m.changes, m.far, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "mirrorfs_floors",
		Help: "Inodes and names seen at the source that this site does not have yet.",
	}, func() float64 { return float64(floors()) }))
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

// runnerMetrics count what a runner does.
type runnerMetrics struct {
	records, batches, bytes, copiedBytes, segments, segmentRecords prometheus.Counter
}

func newRunnerMetrics(r prometheus.Registerer, p *progress) (*runnerMetrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	gauge := func(name, help string, value func(note) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return value(p.snapshot()) })
	}
	m := &runnerMetrics{
		records:     counter("mirrorfs_mirror_applied_records_total", "Records of the source's log applied here."),
		batches:     counter("mirrorfs_mirror_applied_batches_total", "Steps in which records were applied."),
		bytes:       counter("mirrorfs_mirror_applied_bytes_total", "Bytes of the records applied here."),
		copiedBytes: counter("mirrorfs_mirror_copied_bytes_total", "Bytes of effects loaded by the first copy."),
		segments:    counter("mirrorfs_mirror_segments_total", "Segments of the source's log read because the log did not reach back so far."),

		segmentRecords: counter("mirrorfs_mirror_segment_records_total", "Records read from segments."),
	}
	cs := []prometheus.Collector{
		m.records, m.batches, m.bytes, m.copiedBytes, m.segments, m.segmentRecords,
		gauge("mirrorfs_mirror_lag_records", "Records of the source that are not here yet.", func(n note) float64 {
			records, _ := n.lag(n.Seen)
			return float64(records)
		}),
		gauge("mirrorfs_mirror_lag_seconds", "Age of the oldest change that is not here yet.", func(n note) float64 {
			_, age := n.lag(n.Seen)
			return age.Seconds()
		}),
		gauge("mirrorfs_mirror_applied_seq", "Sequence number of the last record applied here.", func(n note) float64 {
			return float64(n.Applied.Seq)
		}),
	}
	for _, state := range []string{StateBootstrapping, StateFollowing, StateStalled, StateFenced} {
		cs = append(cs, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "mirrorfs_mirror_state", Help: "1 for the state that the mirror is in.",
			ConstLabels: prometheus.Labels{"state": state},
		}, func() float64 {
			if p.snapshot().State == state {
				return 1
			}
			return 0
		}))
	}
	return m, register(r, cs...)
}

func (m *runnerMetrics) applied(records, bytes int) {
	m.records.Add(float64(records))
	m.bytes.Add(float64(bytes))
	if records > 0 {
		m.batches.Inc()
	}
}

func (m *runnerMetrics) copied(bytes int) { m.copiedBytes.Add(float64(bytes)) }

func (m *runnerMetrics) segment(records int) {
	m.segments.Inc()
	m.segmentRecords.Add(float64(records))
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
			Help: "Reads of blocks by the bucket that answered: near, the block's home, or another site's.",
		}, []string{"from"}),
		kept: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "mirrorfs_kept_blocks_total",
			Help: "Blocks read from afar and put into this site's bucket.",
		}),
	}
	return m, register(r, m.reads, m.kept)
}

func (m *storeMetrics) read(from string) { m.reads.WithLabelValues(from).Inc() }
