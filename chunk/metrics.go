package chunk

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts what Blocks does.
type metrics struct {
	hits, misses, joined  prometheus.Counter
	fromCache, fromStore  prometheus.Counter // bytes handed out
	fetched               prometheus.Counter // bytes
	uploads, uploadErrors prometheus.Counter
	uploaded              prometheus.Counter // bytes
	downloadErrors        prometheus.Counter
	corrupt, mended       prometheus.Counter
	prefetched            prometheus.Counter
	buffered              prometheus.GaugeFunc
}

func newMetrics(reg prometheus.Registerer, buffered func() float64) (*metrics, error) {
	r := registrar{reg: reg}
	read := func(source string) prometheus.Counter {
		return r.counter("read_bytes_total", "Bytes handed to readers, by source.", prometheus.Labels{"source": source})
	}
	m := &metrics{
		hits:           r.counter("cache_hits_total", "Reads of a block that the cache had.", nil),
		misses:         r.counter("cache_misses_total", "Reads of a block that the cache did not have.", nil),
		joined:         r.counter("downloads_shared_total", "Reads that joined a download under way.", nil),
		fromCache:      read("cache"),
		fromStore:      read("store"),
		fetched:        r.counter("download_bytes_total", "Bytes of blocks downloaded.", nil),
		uploads:        r.counter("uploads_total", "Blocks uploaded.", nil),
		uploadErrors:   r.counter("upload_failures_total", "Blocks whose upload failed.", nil),
		uploaded:       r.counter("upload_bytes_total", "Bytes of blocks uploaded.", nil),
		downloadErrors: r.counter("download_failures_total", "Downloads that failed.", nil),
		corrupt:        r.counter("corrupt_blocks_total", "Downloads whose bytes were wrong.", nil),
		mended:         r.counter("mended_copies_total", "Copies with wrong bytes that were replaced by right ones.", nil),
		prefetched:     r.counter("prefetches_total", "Blocks downloaded ahead of reads.", nil),
	}
	m.buffered = r.gauge("write_buffer_bytes", "Memory that writers hold.", buffered)
	return m, r.err()
}

// registrar makes and registers metrics; its errors are asked for once.
type registrar struct {
	reg  prometheus.Registerer // may be nil
	errs []error
}

func (r *registrar) counter(name, help string, labels prometheus.Labels) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: "mirrorfs", Subsystem: "chunk", Name: name, Help: help, ConstLabels: labels,
	})
	r.register(c)
	return c
}

func (r *registrar) gauge(name, help string, value func() float64) prometheus.GaugeFunc {
	g := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "mirrorfs", Subsystem: "chunk", Name: name, Help: help,
	}, value)
	r.register(g)
	return g
}

func (r *registrar) register(c prometheus.Collector) {
	if r.reg == nil {
		return
	}
	if err := r.reg.Register(c); err != nil {
		r.errs = append(r.errs, err)
	}
}

func (r *registrar) err() error { return errors.Join(r.errs...) }

// diskMetrics counts what a DiskCache does.
type diskMetrics struct {
	stored, failures   prometheus.Counter
	evictions, evicted prometheus.Counter
	corrupt            prometheus.Counter
	bytes              prometheus.GaugeFunc
}

func newDiskMetrics(reg prometheus.Registerer, c *DiskCache) (*diskMetrics, error) {
	r := registrar{reg: reg}
	m := &diskMetrics{
		stored:    r.counter("disk_stored_total", "Blocks put into the disk cache.", nil),
		failures:  r.counter("disk_failures_total", "Blocks that could not be put into the disk cache.", nil),
		evictions: r.counter("disk_evictions_total", "Slices evicted from the disk cache.", nil),
		evicted:   r.counter("disk_evicted_bytes_total", "Bytes evicted from the disk cache.", nil),
		corrupt:   r.counter("disk_corrupt_blocks_total", "Blocks found damaged in the disk cache.", nil),
		bytes:     r.gauge("disk_bytes", "Bytes that the disk cache takes.", func() float64 { return float64(c.Bytes()) }),
	}
	return m, r.err()
}
