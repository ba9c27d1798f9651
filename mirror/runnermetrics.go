package mirror

import (
	"github.com/prometheus/client_golang/prometheus"
)

// runnerMetrics count what a runner does.
type runnerMetrics struct {
	progress                                                       *progress
	records, batches, bytes, copiedBytes, segments, segmentRecords prometheus.Counter
}

func newRunnerMetrics(r prometheus.Registerer, p *progress) (*runnerMetrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &runnerMetrics{
		progress:       p,
		records:        counter("mirrorfs_mirror_applied_records_total", "Records of the source's log applied here."),
		batches:        counter("mirrorfs_mirror_applied_batches_total", "Steps in which records were applied."),
		bytes:          counter("mirrorfs_mirror_applied_bytes_total", "Bytes of the records applied here."),
		copiedBytes:    counter("mirrorfs_mirror_copied_bytes_total", "Bytes of effects loaded by the first copy."),
		segments:       counter("mirrorfs_mirror_segments_total", "Segments of the source's log read because the log did not reach back so far."),
		segmentRecords: counter("mirrorfs_mirror_segment_records_total", "Records read from segments."),
	}
	cs := []prometheus.Collector{m.records, m.batches, m.bytes, m.copiedBytes, m.segments, m.segmentRecords}
	cs = append(cs, followGauges(p)...)
	cs = append(cs, dataGauges(p)...)
	return m, register(r, cs...)
}

// gauge shows something of where a runner is.
func (p *progress) gauge(name, help string, labels prometheus.Labels, value func(*note) float64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, func() float64 {
		n := p.snapshot()
		return value(&n)
	})
}

// followGauges tell how far the metadata is.
func followGauges(p *progress) []prometheus.Collector {
	cs := []prometheus.Collector{
		p.gauge("mirrorfs_mirror_lag_records", "Records of the source that are not here yet.", nil, func(n *note) float64 {
			records, _ := n.lag(n.Seen)
			return float64(records)
		}),
		p.gauge("mirrorfs_mirror_lag_seconds", "Age of the oldest change that is not here yet.", nil, func(n *note) float64 {
			_, age := n.lag(n.Seen)
			return age.Seconds()
		}),
		p.gauge("mirrorfs_mirror_lag_bytes", "Bytes of the records that are not here yet, by the mean size of those applied since the start.", nil, func(n *note) float64 {
			records, _ := n.lag(n.Seen)
			return float64(records) * n.meanBytes
		}),
		p.gauge("mirrorfs_mirror_applied_seq", "Sequence number of the last record applied here.", nil, func(n *note) float64 { return float64(n.Applied.Seq) }),
		p.gauge("mirrorfs_mirror_applied_epoch", "Epoch of the last record applied here: it rises with each promotion.", nil, func(n *note) float64 { return float64(n.Applied.Epoch) }),
		p.gauge("mirrorfs_mirror_verified_timestamp_seconds", "When the last verification of this mirror ended; 0 when there was none.", nil, func(n *note) float64 {
			if n.verified.Finished.IsZero() {
				return 0
			}
			return float64(n.verified.Finished.Unix())
		}),
		p.gauge("mirrorfs_mirror_verified_differences", "Differences from the source that the last verification found.", nil, func(n *note) float64 { return float64(n.verified.Differences) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "mirrorfs_mirror_runs", Help: "1 in the runner that does the mirror's work, 0 in one that waits to take over.",
		}, func() float64 { return oneIf(p.works()) }),
		sourceUp(func() bool { n := p.snapshot(); return n.LinkDown.IsZero() }),
	}
	for _, state := range []string{StateBootstrapping, StateFollowing, StateStalled, StateFenced, StateSource} {
		cs = append(cs, p.gauge("mirrorfs_mirror_state", "1 for the state that the mirror is in.", prometheus.Labels{"state": state},
			func(n *note) float64 { return oneIf(n.State == state) }))
	}
	return cs
}

// dataGauges tell how far the data is, whichever runner copies it.
func dataGauges(p *progress) []prometheus.Collector {
	var cs []prometheus.Collector
	for direction, pending := range map[string]func(*DataStatus) (objects, bytes uint64){
		"in":   func(d *DataStatus) (objects, bytes uint64) { return d.PendingObjects, d.PendingBytes },
		"back": func(d *DataStatus) (objects, bytes uint64) { return d.BackObjects, d.BackBytes },
	} {
		labels := prometheus.Labels{"direction": direction}
		cs = append(cs,
			p.gauge("mirrorfs_mirror_pending_objects", "Blocks that are to be copied: in, to this mirror's bucket, or back, to the source's.", labels, func(n *note) float64 {
				objects, _ := pending(&n.data)
				return float64(objects)
			}),
			p.gauge("mirrorfs_mirror_pending_bytes", "Bytes of the blocks that are to be copied, in or back.", labels, func(n *note) float64 {
				_, bytes := pending(&n.data)
				return float64(bytes)
			}),
		)
	}
	return append(cs, p.gauge("mirrorfs_mirror_complete_seq", "Sequence number up to which all data is in this mirror's bucket; 0 in other data modes than full.", nil,
		func(n *note) float64 { return float64(n.data.CompleteTo.Seq) }))
}

func (m *runnerMetrics) applied(records, bytes int) {
	m.records.Add(float64(records))
	m.bytes.Add(float64(bytes))
	if records > 0 {
		m.batches.Inc()
		m.progress.tally(records, bytes)
	}
}

func (m *runnerMetrics) copied(bytes int) { m.copiedBytes.Add(float64(bytes)) }

func (m *runnerMetrics) segment(records int) {
	m.segments.Inc()
	m.segmentRecords.Add(float64(records))
}
