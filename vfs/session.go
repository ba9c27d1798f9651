package vfs

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"mirrorfs/meta"
)

// session is this client's registration. It is started by the first that needs
// it: Run, or a change before Run came so far.
type session struct {
	sem chan struct{} // held while starting
	// era counts the sessions started; 0 before the first.
	era atomic.Uint64
	// inUse is held for reading by who sends a change, and for writing while one session takes
	// the place of another: no change passes for one of a session that has begun since.
	inUse sync.RWMutex
}

func (s *session) init() { s.sem = make(chan struct{}, 1) }

// ensureSession starts the session if there is none.
func (fs *FS) ensureSession(ctx context.Context) error {
	if fs.session.era.Load() > 0 {
		return nil
	}
	return fs.renewSession(ctx, 0)
}

// renewSession starts a session unless one was started since era. Of several
// callers one does it.
func (fs *FS) renewSession(ctx context.Context, era uint64) error {
	select {
	case fs.session.sem <- struct{}{}:
	case <-ctx.Done():
		return refuse("session_start", 0, "", ctx.Err())
	}
	defer func() { <-fs.session.sem }()
	if fs.session.era.Load() != era {
		return nil
	}
	fs.session.inUse.Lock()
	defer fs.session.inUse.Unlock()
	if era > 0 {
		fs.loseLocks(ctx)
	}
	at := fs.now()
	if err := fs.engine.StartSession(ctx, fs.opts.Session); err != nil {
		return err
	}
	fs.locks.beaten(at, int64(fs.opts.SessionTTL))
	fs.session.era.Add(1)
	if era > 0 {
		fs.log.WarnContext(ctx, "session was lost, a new one is started; files unlinked while open may be gone")
	}
	return nil
}

// beat keeps the session alive, and starts it when needed. Errors are logged:
// the next beat tries again.
func (fs *FS) beat(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, fs.opts.MetaTimeout)
	defer cancel()
	err := fs.ensureSession(ctx)
	if err == nil {
		era := fs.session.era.Load()
		err = fs.heartbeat(ctx)
		if isSessionEnded(err) {
			if err = fs.renewSession(ctx, era); err == nil {
				err = fs.heartbeat(ctx)
			}
		}
	}
	if err == nil {
		err = fs.slices.fill(ctx, fs)
	}
	if err != nil && ctx.Err() == nil {
		fs.log.WarnContext(ctx, "heartbeat failed", slog.Any("error", err))
	}
}

// heartbeat gives one, and sees to the locks.
func (fs *FS) heartbeat(ctx context.Context) error {
	at := fs.now()
	err := fs.engine.Heartbeat(ctx, fs.table.held())
	if errors.Is(err, meta.ErrLocksInDoubt) {
		err = fs.claimLocks(ctx)
	}
	if err == nil {
		fs.locks.beaten(at, int64(fs.opts.SessionTTL))
		fs.settleLocks(ctx)
	}
	return err
}

// beats calls beat until ctx ends: at once, soon again while there is no
// session, and then at the interval that the contract asks for.
func (fs *FS) beats(ctx context.Context) {
	for {
		fs.beat(ctx)
		wait := fs.opts.HeartbeatInterval
		if fs.session.era.Load() == 0 {
			wait = time.Second
		}
		if !pause(ctx, wait) {
			return
		}
	}
}

// pause waits, and reports false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
