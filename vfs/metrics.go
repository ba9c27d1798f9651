package vfs

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what Options.Metrics gets.
type metrics struct {
	flushes prometheus.Counter
	lost    prometheus.Counter

	compactions prometheus.Counter

	purged, reclaimed, reclaimedBytes prometheus.Counter
}

func (m *metrics) register(r prometheus.Registerer, fs *FS) error {
	m.flushes = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "mirrorfs_vfs_flushes_total", Help: "Files whose buffered data was committed.",
	})
	m.lost = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "mirrorfs_vfs_lost_total", Help: "Files whose buffered data could not be stored and was given up.",
	})
	m.compactions = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "mirrorfs_vfs_compactions_total", Help: "Chunks whose data was rewritten into one slice.",
	})
	m.purged = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "mirrorfs_vfs_purged_total", Help: "Orphans that this client purged when their time was up.",
	})
	m.reclaimed = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "mirrorfs_vfs_reclaimed_blocks_total", Help: "Blocks of freed slices that this client deleted.",
	})
	m.reclaimedBytes = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "mirrorfs_vfs_reclaimed_bytes_total", Help: "Bytes of the slices whose blocks this client deleted.",
	})
	if r == nil {
		return nil
	}
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f)
	}
	for _, c := range []prometheus.Collector{
		m.flushes, m.lost, m.compactions, m.purged, m.reclaimed, m.reclaimedBytes,
		gauge("mirrorfs_vfs_open_inodes", "Files that are open or have buffered data.", func() float64 { return float64(fs.table.open.Load()) }),
		gauge("mirrorfs_vfs_dirty_inodes", "Files with buffered data.", func() float64 { return float64(fs.dirty.len()) }),
		gauge("mirrorfs_vfs_partial_block_bytes", "Memory of blocks that are not full yet.", func() float64 { return float64(fs.buffered.Load()) }),
	} {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	return nil
}
