package fuse

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// op is a kind of request, for metrics and messages.
type op uint8

const (
	opLookup op = iota
	opGetAttr
	opSetAttr
	opMknod
	opMkdir
	opSymlink
	opReadlink
	opLink
	opUnlink
	opRmdir
	opRename
	opStatFS
	opGetXattr
	opListXattr
	opSetXattr
	opRemoveXattr
	opCreate
	opOpen
	opRead
	opWrite
	opFlush
	opFsync
	opRelease
	opOpenDir
	opReadDir
	opFallocate
	opLseek
	opCopy
	ops
)

// String gives the request's name.
func (o op) String() string {
	return [ops]string{
		"lookup", "getattr", "setattr", "mknod", "mkdir", "symlink", "readlink", "link", "unlink", "rmdir", "rename", "statfs",
		"getxattr", "listxattr", "setxattr", "removexattr", "create", "open", "read", "write", "flush", "fsync", "release", "opendir", "readdir",
		"fallocate", "lseek", "copy_file_range",
	}[o]
}

// metrics times requests; nil does nothing.
type metrics struct {
	seconds [ops]prometheus.Observer
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	if reg == nil {
		return nil, nil //nolint:nilnil // a nil *metrics works
	}
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "mirrorfs_fuse_request_seconds",
		Help:    "How long requests of the kernel took to answer.",
		Buckets: prometheus.ExponentialBuckets(20e-6, 4, 11), // 20 us to 21 s
	}, []string{"request"})
	if err := reg.Register(h); err != nil {
		return nil, fmt.Errorf("register the metrics of the mount: %w", err)
	}
	m := &metrics{}
	for o := range ops {
		m.seconds[o] = h.WithLabelValues(o.String())
	}
	return m, nil
}

// now is when a request began.
func (m *metrics) now() time.Time {
	if m == nil {
		return time.Time{}
	}
	return time.Now()
}

// observe notes a request that began at start and ends now.
func (m *metrics) observe(o op, start time.Time) {
	if m != nil {
		m.seconds[o].Observe(time.Since(start).Seconds())
	}
}
