package fuse

import (
	"context"
	"strings"
	"sync"
	"time"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"mirrorfs/meta"
)

// Extended attributes of every file and directory by which programs hand positions to each
// other. Like control's they are only read, and neither stored nor listed; any program may, so
// they are in the namespace that is open to all.
const (
	positionPrefix = "user.mirrorfs."
	// positionXattr is vfs.FS.Position: where this mount is.
	positionXattr = positionPrefix + "position"
	// waitXattr, with a position, waits until this mount has reached that, for at most
	// Options.MetaTimeout, and answers with where it is then.
	waitXattr = positionPrefix + "wait:"
	// maxPositionBytes is the longest that a position is written.
	maxPositionBytes = 31
)

// position answers for an attribute that has to do with positions.
func (r *raw) position(cancel <-chan struct{}, h *gofuse.InHeader, name string, dest []byte) (uint32, gofuse.Status) {
	wanted, waits := strings.CutPrefix(name, waitXattr)
	if !waits && name != positionXattr {
		return 0, gofuse.Status(unix.ENODATA)
	}
	ctx := r.asking(cancel, h)
	defer ctx.finish()
	if waits {
		at, err := meta.ParsePosition(wanted)
		if err != nil {
			return 0, gofuse.EINVAL
		}
		if len(dest) == 0 { // who asks for the size asks again, and waits then
			return maxPositionBytes, gofuse.OK
		}
		if err := r.waitFor(ctx, at); err != nil {
			return 0, r.status("wait", err)
		}
	}
	at, err := r.fs.Position(ctx)
	if err != nil {
		return 0, r.status("position", err)
	}
	return fit(dest, []byte(at.String()))
}

// settled is a position that nothing the kernel keeps is older than.
type settled struct {
	mu sync.Mutex
	at meta.Position
}

func (s *settled) covers(at meta.Position) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.at.Before(at)
}

func (s *settled) raise(at meta.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at.Before(at) {
		s.at = at
	}
}

// waitFor returns when whatever programs ask is answered as of a position or a later one, by
// this process or by the kernel: what that was told before, it has forgotten by then.
func (r *raw) waitFor(ctx context.Context, at meta.Position) error {
	err := r.fs.WaitFor(ctx, at)
	if err != nil || r.settled.covers(at) {
		return err
	}
	keeps := max(r.opts.AttrTimeout, r.opts.EntryTimeout, r.opts.NegativeTimeout)
	forgets := time.NewTimer(keeps + keeps/10) // an answer may be on its way to the kernel
	defer forgets.Stop()
	select {
	case <-forgets.C:
		r.settled.raise(at)
		return nil
	case <-ctx.Done():
		return meta.NotReached(ctx, at)
	}
}
