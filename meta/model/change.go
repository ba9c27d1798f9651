package model

import (
	"context"
	"syscall"

	"mirrorfs/meta"
)

// Change implements meta.Engine.
func (e *Engine) Change(ctx context.Context, c meta.Change) (meta.Result, error) {
	op := "change"
	if c != nil {
		op = c.Op().String()
	}
	if err := ctx.Err(); err != nil {
		return meta.Result{}, &meta.Error{Op: op, Errno: syscall.EINTR, Err: err}
	}
	if errno := meta.Check(c); errno != 0 {
		return meta.Result{}, &meta.Error{Op: op, Errno: errno}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.v.clock()
	e.v.mu.Lock()
	defer e.v.mu.Unlock()
	if err := e.v.mayChange(e.session, c); err != nil {
		return meta.Result{}, err
	}
	s := e.v.stage(now.UnixNano())
	ino, errno := s.run(c)
	if _, asTold := c.(meta.Repair); errno == 0 && !asTold {
		s.settleNames()
		errno = s.settleQuotas(c)
	}
	if errno != 0 {
		return meta.Result{}, &meta.Error{Op: op, Ino: ino, Errno: errno}
	}
	if len(s.order) == 0 && len(s.rest) == 0 && s.counters == e.v.state.Counters {
		n, _ := e.v.tables.node(ino)
		return meta.Result{Node: n}, nil
	}
	r := meta.Record{Op: c.Op(), Session: e.session}
	if e.session != 0 {
		e.number++
		r.Number = e.number
	}
	return e.v.commit(s, r), nil
}

// mayChange refuses changes at a site that takes none, and of clients without a
// session, except those that only administer.
func (v *volume) mayChange(session meta.SessionID, c meta.Change) error {
	if err := v.isSource(c.Op()); err != nil {
		return err
	}
	switch c.(type) {
	case meta.Settings, meta.EndOtherSession, meta.SetQuota, meta.Count, meta.Repair:
		if session == 0 {
			return nil
		}
	}
	if !v.hasSession(session) {
		return &meta.Error{Op: c.Op().String(), Errno: syscall.ESTALE, Err: meta.ErrSessionEnded}
	}
	return nil
}

func (v *volume) isSource(op meta.Op) error {
	switch v.state.Role {
	case meta.RoleSource:
		return nil
	case meta.RoleFenced:
		return &meta.Error{Op: op.String(), Errno: syscall.EROFS, Err: meta.ErrFenced}
	default:
		return &meta.Error{Op: op.String(), Errno: syscall.EROFS, Err: meta.ErrReadOnly}
	}
}

// run validates a change and stages it. It returns the inode that the change, or
// the error, is about.
func (s *staged) run(c meta.Change) (meta.Ino, syscall.Errno) {
	switch c := c.(type) {
	case meta.Make:
		return c.Parent, s.make(&c)
	case meta.Link:
		return c.Ino, s.linkTo(&c)
	case meta.Unlink:
		return c.Parent, s.unlinkFile(&c)
	case meta.Rmdir:
		return c.Parent, s.rmdir(&c)
	case meta.Rename:
		return s.rename(&c)
	case meta.SetAttr:
		return c.Ino, s.setAttr(&c)
	case meta.Commit:
		return c.Ino, s.commitExtents(&c)
	case meta.Clone:
		return c.Dst, s.clone(&c)
	case meta.Compact:
		return c.Ino, s.compact(&c)
	case meta.SetXattr:
		return c.Ino, s.setXattr(&c)
	case meta.RemoveXattr:
		return c.Ino, s.removeXattr(&c)
	case meta.Reserve:
		return 0, s.reserve(&c)
	case meta.Purge:
		return c.Orphan.Ino, s.purge(&c)
	case meta.Restore:
		return c.Orphan.Ino, s.restore(&c)
	case meta.Reclaim:
		return 0, s.reclaim(&c)
	case meta.EndOtherSession:
		return 0, s.endOther(&c)
	case meta.SetQuota:
		return c.Dir, s.setQuota(&c)
	case meta.Count:
		return c.Dir, s.count(&c)
	case meta.Repair:
		return 0, s.repair(&c)
	case meta.Settings:
		s.add(meta.Effect{Kind: meta.EffectSetting, Name: volumeSetting, Value: encodeJSON(c.Volume)})
		return 0, 0
	}
	return 0, syscall.ENOSYS
}

// commit makes the record of a staged change and applies it, and gives the reply.
func (v *volume) commit(s *staged, r meta.Record) meta.Result {
	r.Time, r.After, r.Effects = s.now, s.counters, s.effects()
	at := v.state.Position
	if at.IsZero() {
		at.Epoch = 1
	}
	at.Seq++
	raw, _ := meta.AppendRecord(nil, &r, v.state.Chain)
	reply := v.play(meta.LogEntry{Position: at, Raw: raw}, &r)
	res, err := meta.DecodeReply(reply)
	if err != nil {
		panic("model: " + err.Error()) // our own encoding
	}
	return res
}

// play applies a record to the tables, moves the state, appends the record to the
// log, keeps its reply for its session, and returns the reply.
func (v *volume) play(entry meta.LogEntry, r *meta.Record) []byte {
	reply := meta.AppendReply(nil, entry.Position, about(r, v.state.NextSlice), r)
	for i := range r.Effects {
		v.tables.apply(&r.Effects[i])
	}
	if v.tables.sessions[r.Session] != nil {
		v.tables.replies[slot{r.Session, r.Slot}] = keptReply(r.Number, reply)
	}
	v.state.Position = entry.Position
	v.state.Chain = string(entry.Raw[len(entry.Raw)-len(meta.EmptyChain):])
	v.state.Counters = r.After
	v.log = append(v.log, entry)
	close(v.changed)
	v.changed = make(chan struct{})
	return reply
}

// about gives the inode that a record is about: its first. A reservation is about
// the first slice number that was free before it.
func about(r *meta.Record, nextSlice uint64) meta.Ino {
	switch {
	case r.Op == meta.OpReserve:
		return meta.Ino(nextSlice)
	case len(r.Effects) > 0 && (r.Effects[0].Kind == meta.EffectInode || r.Effects[0].Kind == meta.EffectInodeGone):
		return r.Effects[0].Ino
	}
	return 0
}
