package model

import (
	"context"
	"syscall"

	"mirrorfs/meta"
)

var _ meta.Failover = (*Engine)(nil)

// Fence implements meta.Failover.
func (e *Engine) Fence(ctx context.Context, note, seen string) (meta.State, error) {
	e.v.mu.Lock()
	defer e.v.mu.Unlock()
	s, old := &e.v.state, e.v.local[meta.LocalFence]
	switch {
	case s.Role != meta.RoleSource && s.Role != meta.RoleFenced:
		return meta.State{}, readOnly("fence")
	case s.Role == meta.RoleFenced && old != note && old != seen:
		return meta.State{}, &meta.Error{Op: "fence", Errno: syscall.EBUSY, Err: meta.ErrFenced}
	}
	s.Role = meta.RoleFenced
	e.v.local[meta.LocalFence] = note
	return *s, ctx.Err()
}

// Unfence implements meta.Failover.
func (e *Engine) Unfence(ctx context.Context, at meta.State, note string) error {
	e.v.mu.Lock()
	defer e.v.mu.Unlock()
	s := &e.v.state
	switch {
	case s.Role == meta.RoleSource:
		return ctx.Err()
	case s.Role != meta.RoleFenced:
		return readOnly("unfence")
	case !e.v.standsAt(&at) || e.v.local[meta.LocalFence] != note:
		return moved("unfence")
	}
	s.Role = meta.RoleSource
	delete(e.v.local, meta.LocalFence)
	return ctx.Err()
}

// Demote implements meta.Failover.
func (e *Engine) Demote(ctx context.Context, at meta.State) error {
	e.v.mu.Lock()
	defer e.v.mu.Unlock()
	s := &e.v.state
	switch {
	case s.Role == meta.RoleMirror:
		return ctx.Err()
	case s.Role != meta.RoleFenced:
		return readOnly("demote")
	case !e.v.standsAt(&at):
		return moved("demote")
	}
	s.Role = meta.RoleMirror
	delete(e.v.local, meta.LocalFence)
	clear(e.v.mirrors)
	return ctx.Err()
}

// Promote implements meta.Failover.
func (e *Engine) Promote(ctx context.Context, at meta.State, settings meta.Volume, skip meta.Skip) (meta.State, error) {
	now := e.v.clock()
	e.v.mu.Lock()
	defer e.v.mu.Unlock()
	v, value := e.v, encodeJSON(settings)
	switch {
	case v.state.Role == meta.RoleSource && string(v.tables.settings[volumeSetting]) == string(value):
		return v.state, ctx.Err()
	case v.state.Role == meta.RoleSource:
		return meta.State{}, moved("promote")
	case v.state.Role != meta.RoleMirror:
		return meta.State{}, readOnly("promote")
	case !v.standsAt(&at):
		return meta.State{}, moved("promote")
	case v.state.NextIno+skip.Inodes > meta.MaxIno || v.state.NextSlice+skip.Slices > meta.MaxSlice:
		return meta.State{}, &meta.Error{Op: "promote", Errno: syscall.ENOSPC}
	}
	v.state.Role = meta.RoleSource
	v.state.Position.Epoch++
	for id := range v.tables.sessions {
		v.expires[id] = now.Add(meta.SessionTTL)
		v.lastSession = max(v.lastSession, id) // no number is given twice
	}
	s := v.stage(now.UnixNano())
	s.counters.NextIno += skip.Inodes
	s.counters.NextSlice += skip.Slices
	s.add(meta.Effect{Kind: meta.EffectSetting, Name: volumeSetting, Value: value})
	v.commit(s, meta.Record{Op: meta.OpFailover})
	return v.state, ctx.Err()
}

// standsAt compares position and checksum.
func (v *volume) standsAt(at *meta.State) bool {
	return v.state.Position == at.Position && v.state.Chain == at.Chain
}

func readOnly(op string) error {
	return &meta.Error{Op: op, Errno: syscall.EROFS, Err: meta.ErrReadOnly}
}

func moved(op string) error {
	return &meta.Error{Op: op, Errno: syscall.EAGAIN, Err: meta.ErrMoved}
}
