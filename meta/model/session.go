package model

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"syscall"
	"time"

	"mirrorfs/meta"
)

// StartSession implements meta.Engine. Sessions are numbered from 1.
func (e *Engine) StartSession(ctx context.Context, info meta.SessionInfo) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	v, now := e.v, e.v.clock()
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.isSource(meta.OpSessionStart); err != nil {
		return err
	}
	v.lastSession++
	e.session, e.number = v.lastSession, 0
	s := v.stage(now.UnixNano())
	s.add(meta.Effect{Kind: meta.EffectSession, Session: e.session, Value: encodeJSON(info)})
	v.commit(s, meta.Record{Op: meta.OpSessionStart, Session: e.session})
	v.expires[e.session] = now.Add(meta.SessionTTL)
	return nil
}

// Heartbeat implements meta.Engine.
func (e *Engine) Heartbeat(ctx context.Context, open []meta.Ino) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	v, now := e.v, e.v.clock()
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.hasSession(e.session) {
		return &meta.Error{Op: "heartbeat", Errno: syscall.ESTALE, Err: meta.ErrSessionEnded}
	}
	v.expires[e.session] = now.Add(meta.SessionTTL)
	v.open[e.session] = map[meta.Ino]bool{}
	for _, ino := range open {
		v.open[e.session][ino] = true
	}
	return nil
}

// EndSession implements meta.Engine.
func (e *Engine) EndSession(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	v, now := e.v, e.v.clock()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.tables.sessions[e.session] != nil {
		s := v.stage(now.UnixNano())
		s.endSession(e.session)
		v.commit(s, meta.Record{Op: meta.OpSessionEnd, Session: e.session, Number: e.number + 1})
	}
	e.session = 0
	return nil
}

func (s *staged) endSession(id meta.SessionID) {
	s.add(meta.Effect{Kind: meta.EffectSessionGone, Session: id})
	delete(s.v.expires, id)
	delete(s.v.open, id)
	delete(s.v.locks.lost, id)
	s.v.locksChanged()
}

func (s *staged) endOther(c *meta.EndOtherSession) syscall.Errno {
	switch {
	case s.v.tables.sessions[c.ID] == nil:
		return syscall.ENOENT
	case !c.Force && s.v.isAlive(c.ID, s.now):
		return syscall.EBUSY
	}
	s.endSession(c.ID)
	return 0
}

// isAlive reports whether a session's heartbeat has not run out.
func (v *volume) isAlive(id meta.SessionID, now int64) bool {
	return v.expires[id].After(time.Unix(0, now))
}

// Sessions implements meta.Purger.
func (e *Engine) Sessions(ctx context.Context) ([]meta.Session, error) {
	e.v.mu.Lock()
	defer e.v.mu.Unlock()
	var all []meta.Session
	for _, id := range slices.Sorted(maps.Keys(e.v.tables.sessions)) {
		s := meta.Session{ID: id, Expires: e.v.expires[id], OpenFiles: len(e.v.open[id]), Locks: e.v.countLocks(id)}
		if err := json.Unmarshal(e.v.tables.sessions[id], &s.Info); err != nil {
			return nil, &meta.Error{Op: "sessions", Errno: syscall.EIO, Err: err}
		}
		all = append(all, s)
	}
	return all, ctx.Err()
}
