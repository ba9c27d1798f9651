package fuse

import (
	"context"
	"time"
)

// NewRequestContext is the context of a request from a thread, for tests.
func NewRequestContext(cancel <-chan struct{}, tid int, deadline time.Time) (ctx context.Context, finish func()) {
	c := &requestContext{watcher: &watcher{}, cancel: cancel, tid: uint32(tid), deadline: deadline}
	return c, c.finish
}

// The times of attributes, for tests.
var (
	SplitTime = splitTime
	JoinTime  = joinTime
)

// ParseMountinfo gives mount point, type and source of a line, for tests.
func ParseMountinfo(line string) (dir, fsType, source string, ok bool) {
	e, ok := parseMountinfo(line)
	return e.dir, e.fsType, e.source, ok
}
