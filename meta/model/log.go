package model

import (
	"context"
	"slices"
	"syscall"

	"mirrorfs/meta"
)

// TrimLog implements meta.Source.
func (e *Engine) TrimLog(ctx context.Context, keep int) (int64, error) {
	v, err := e.Volume(ctx)
	if err != nil {
		return 0, err
	}
	e.v.mu.Lock()
	defer e.v.mu.Unlock()
	log := e.v.log
	archived := len(log)
	if kept := e.v.state.Role == meta.RoleSource && v.LogKeep > 0; kept {
		for archived > 0 && log[archived-1].Position.Seq > e.v.archived.Position.Seq {
			archived--
		}
	} else {
		v.LogBytes = 0
	}
	n := min(max(len(log)-max(keep, 0), 0), archived)
	for _, m := range e.v.mirrors {
		for n > 0 && m.Applied.Before(log[n-1].Position) {
			n--
		}
	}
	left := int64(0)
	for i := n; i < len(log); i++ {
		left += int64(len(log[i].Raw))
	}
	for v.LogBytes > 0 && left > v.LogBytes && n < archived {
		left -= int64(len(log[n].Raw))
		n++
	}
	e.v.log = slices.Clone(log[n:])
	return int64(n), ctx.Err()
}

// LogStart implements meta.Source.
func (e *Engine) LogStart(ctx context.Context) (meta.LogEntry, error) {
	e.v.mu.Lock()
	defer e.v.mu.Unlock()
	if len(e.v.log) == 0 {
		return meta.LogEntry{}, &meta.Error{Op: "log_start", Errno: syscall.EIO, Err: meta.ErrGap}
	}
	return e.v.log[0], ctx.Err()
}

// Archived implements meta.Source.
func (e *Engine) Archived(ctx context.Context) (meta.Archived, error) {
	e.v.mu.Lock()
	defer e.v.mu.Unlock()
	return e.v.archived, ctx.Err()
}

// SetArchived implements meta.Source.
func (e *Engine) SetArchived(ctx context.Context, from, to meta.Archived) error {
	e.v.mu.Lock()
	defer e.v.mu.Unlock()
	if e.v.archived != from && e.v.archived != to {
		return &meta.Error{Op: "set_archived", Errno: syscall.EAGAIN, Err: meta.ErrMoved}
	}
	e.v.archived = to
	return ctx.Err()
}
