package fuse

import (
	"fmt"
	"strings"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"mirrorfs/chunk"
)

// Extended attributes that only the adapter knows. Reading them is how a program on this
// machine asks a mount for what no system call tells; they are not stored, nor listed.
const (
	controlPrefix = "mirrorfs."
	// pidXattr of the root is the process that serves the mount, in decimal. Unmount
	// asks for it.
	pidXattr = controlPrefix + "pid"
	// sourceXattr of the root is Options.Source.
	sourceXattr = controlPrefix + "source"
	// cachedXattr, with an offset and a length, of a file tells how much of that range is in
	// the mount's cache; warmXattr brings it there first. The answer is a warmthFormat.
	cachedXattr = controlPrefix + "cached:"
	warmXattr   = controlPrefix + "warm:"
)

// warmthFormat are the bytes of data in a range, those in the cache, and those of them that
// were brought there, in decimal. It takes at most maxWarmthBytes.
const (
	warmthFormat   = "%d %d %d"
	maxWarmthBytes = 64
)

// control answers for an attribute of the adapter's own.
func (r *raw) control(cancel <-chan struct{}, h *gofuse.InHeader, name string, dest []byte) (uint32, gofuse.Status) {
	root := h.NodeId == gofuse.FUSE_ROOT_ID
	switch {
	case name == pidXattr && root:
		return fit(dest, r.pid)
	case name == sourceXattr && root:
		return fit(dest, []byte(r.opts.Source))
	case strings.HasPrefix(name, cachedXattr), strings.HasPrefix(name, warmXattr):
		if len(dest) == 0 { // who asks for the size does not want it done twice
			return maxWarmthBytes, gofuse.OK
		}
		return r.warm(cancel, h, name, dest)
	default:
		return 0, gofuse.Status(unix.EOPNOTSUPP)
	}
}

func (r *raw) warm(cancel <-chan struct{}, h *gofuse.InHeader, name string, dest []byte) (uint32, gofuse.Status) {
	var off, n uint64
	what, place, _ := strings.Cut(name, ":")
	if k, err := fmt.Sscanf(place, "%d:%d", &off, &n); k != 2 || err != nil {
		return 0, gofuse.EINVAL
	}
	ctx := r.reading(cancel, h)
	defer ctx.finish()
	var w chunk.Warmth
	var err error
	if what+":" == warmXattr {
		w, err = r.fs.Warm(ctx, r.ino(h.NodeId), off, n)
	} else {
		w, err = r.fs.Cached(ctx, r.ino(h.NodeId), off, n)
	}
	if err != nil {
		return 0, r.inodeStatus("warm", err)
	}
	return fit(dest, fmt.Appendf(nil, warmthFormat, w.Total, w.Cached, w.Fetched))
}
