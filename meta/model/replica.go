package model

import (
	"context"
	"maps"
	"slices"
	"syscall"

	"mirrorfs/meta"
)

// Reset implements meta.Replica.
func (e *Engine) Reset(ctx context.Context, settings meta.Volume, from meta.State) error {
	e.v.mu.Lock()
	defer e.v.mu.Unlock()
	if e.v.state.Role == meta.RoleSource {
		return &meta.Error{Op: "reset", Errno: syscall.EROFS, Err: meta.ErrReadOnly}
	}
	e.v.clear(meta.RoleBootstrapping)
	e.v.archived = meta.Archived{}
	e.v.state = from
	e.v.state.Role = meta.RoleBootstrapping
	e.v.tables.settings[volumeSetting] = encodeJSON(settings)
	return ctx.Err()
}

// Load implements meta.Replica.
func (e *Engine) Load(ctx context.Context, effects []byte) error {
	rows, err := meta.DecodeEffects(effects)
	if err != nil {
		return &meta.Error{Op: "load", Errno: syscall.EIO, Err: err}
	}
	e.v.mu.Lock()
	defer e.v.mu.Unlock()
	if e.v.state.Role != meta.RoleBootstrapping {
		return &meta.Error{Op: "load", Errno: syscall.EROFS, Err: meta.ErrReadOnly}
	}
	for i := range rows {
		e.v.tables.apply(&rows[i])
	}
	return ctx.Err()
}

// Apply implements meta.Replica.
func (e *Engine) Apply(ctx context.Context, from meta.State, entries []meta.LogEntry, target meta.Position) (meta.State, error) {
	e.v.mu.Lock()
	defer e.v.mu.Unlock()
	v := e.v
	records, errno, err := v.mayApply(from, entries)
	if err != nil {
		return v.state, &meta.Error{Op: "apply", Errno: errno, Err: err}
	}
	for i := range entries {
		v.play(entries[i], &records[i])
	}
	if v.state.Role == meta.RoleBootstrapping && !target.IsZero() && !v.state.Position.Before(target) {
		v.state.Role = meta.RoleMirror
	}
	return v.state, ctx.Err()
}

// BecomeSource makes what was loaded a source, if it stands at the state given.
func (e *Engine) BecomeSource(ctx context.Context, at meta.State) error {
	e.v.mu.Lock()
	defer e.v.mu.Unlock()
	s := &e.v.state
	switch {
	case s.Role != meta.RoleBootstrapping && s.Role != meta.RoleSource:
		return &meta.Error{Op: "become_source", Errno: syscall.EROFS, Err: meta.ErrReadOnly}
	case s.Position != at.Position || s.Chain != at.Chain:
		return &meta.Error{Op: "become_source", Errno: syscall.EAGAIN, Err: meta.ErrMoved}
	}
	s.Role = meta.RoleSource
	for id := range e.v.tables.sessions { // no number is given twice
		e.v.lastSession = max(e.v.lastSession, id)
	}
	return ctx.Err()
}

// mayApply decodes records and says why they cannot follow what is here.
func (v *volume) mayApply(from meta.State, entries []meta.LogEntry) ([]meta.Record, syscall.Errno, error) {
	switch {
	case v.state.Role == meta.RoleSource || v.state.Role == meta.RoleFenced:
		return nil, syscall.EROFS, meta.ErrReadOnly
	case from.Position != v.state.Position || from.Chain != v.state.Chain:
		return nil, syscall.EAGAIN, meta.ErrMoved
	}
	records := make([]meta.Record, len(entries))
	at, chain := v.state.Position, v.state.Chain
	for i, entry := range entries {
		if entry.Position.Seq != at.Seq+1 || entry.Position.Epoch < at.Epoch {
			return nil, syscall.EIO, meta.ErrGap
		}
		next, ok := meta.CheckChain(chain, entry.Raw)
		if !ok {
			return nil, syscall.EIO, meta.ErrDiverged
		}
		var err error
		if records[i], err = meta.DecodeRecord(slices.Clone(entry.Raw)); err != nil {
			return nil, syscall.EIO, err
		}
		at, chain = entry.Position, next
	}
	return records, 0, nil
}

// SetLocal implements meta.Replica. An empty value deletes.
func (e *Engine) SetLocal(ctx context.Context, values map[string]string) error {
	e.v.mu.Lock()
	defer e.v.mu.Unlock()
	for k, value := range values {
		if e.v.local[k] = value; value == "" {
			delete(e.v.local, k)
		}
	}
	return ctx.Err()
}

// Local implements meta.Replica.
func (e *Engine) Local(ctx context.Context) (map[string]string, error) {
	e.v.mu.Lock()
	defer e.v.mu.Unlock()
	return maps.Clone(e.v.local), ctx.Err()
}
