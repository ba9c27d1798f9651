package fuse

import "context"

// NewRequestContext is the context of a request from a thread, for tests.
func NewRequestContext(cancel <-chan struct{}, tid int) (ctx context.Context, finish func()) {
	c := &requestContext{cancel: cancel, tid: uint32(tid)}
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
