package model

import (
	"context"
	"encoding/json"
	"sync"
	"syscall"
	"time"

	"mirrorfs/meta"
)

// Engine is one client's engine on a volume in memory. It implements
// meta.Engine, meta.Purger, meta.Reclaimer, meta.Source, meta.Replica and meta.Claims.
type Engine struct {
	reader

	mu      sync.Mutex // guards session and number; taken before volume.mu
	session meta.SessionID
	number  uint32 // of the last change in the session's only slot
}

var _ interface {
	meta.Engine
	meta.Purger
	meta.Reclaimer
	meta.Source
	meta.Replica
	meta.Claims
} = (*Engine)(nil)

// volume is what a metadata server would hold.
type volume struct {
	clock func() time.Time

	mu          sync.Mutex
	state       meta.State
	tables      tables
	log         []meta.LogEntry
	lastSession meta.SessionID
	expires     map[meta.SessionID]time.Time
	open        map[meta.SessionID]map[meta.Ino]bool
	locks       lockTable
	mirrors     map[uint8]meta.MirrorState
	local       map[string]string
	archived    meta.Archived
	claims      map[string]claim
	changed     chan struct{} // closed and replaced when the log grows
}

// New formats a volume and returns an engine on it, which has no session yet. A
// nil clock is time.Now.
func New(settings meta.Volume, clock func() time.Time) *Engine {
	v := newVolume(meta.RoleSource, clock)
	now := v.clock().UnixNano()
	v.state.Counters = meta.Counters{NextIno: meta.RootIno + 1, NextSlice: 1, Usage: meta.Usage{Inodes: 1}}
	s := v.stage(now)
	s.inodes[meta.RootIno] = &meta.Attr{
		Mode: meta.TypeDir | 0o755, Nlink: 2, Atime: now, Mtime: now, Ctime: now, Parent: meta.RootIno,
	}
	s.order = append(s.order, meta.RootIno)
	s.add(meta.Effect{Kind: meta.EffectSetting, Name: volumeSetting, Value: encodeJSON(settings)})
	v.commit(s, meta.Record{Op: meta.OpFormat})
	return &Engine{reader: reader{v: v}}
}

// NewReplica returns an engine on an empty volume, which Reset, Load and Apply fill.
func NewReplica(clock func() time.Time) *Engine {
	return &Engine{reader: reader{v: newVolume(meta.RoleBootstrapping, clock)}}
}

// Client returns an engine for one more client of the same volume.
func (e *Engine) Client() *Engine { return &Engine{reader: reader{v: e.v}} }

// volumeSetting is the name of the setting that holds the meta.Volume.
const volumeSetting = "volume"

func newVolume(role meta.Role, clock func() time.Time) *volume {
	if clock == nil {
		clock = time.Now
	}
	v := &volume{clock: clock, mirrors: map[uint8]meta.MirrorState{}, local: map[string]string{}, claims: map[string]claim{}, changed: make(chan struct{})}
	v.clear(role)
	return v
}

// clear empties everything but what is local and what mirrors said.
func (v *volume) clear(role meta.Role) {
	v.state = meta.State{Chain: meta.EmptyChain, Role: role}
	v.tables = newTables()
	v.log = nil
	v.expires = map[meta.SessionID]time.Time{}
	v.open = map[meta.SessionID]map[meta.Ino]bool{}
	v.locks = newLockTable()
}

// View implements meta.Engine.
func (e *Engine) View(opts meta.ViewOptions) meta.Reader { return reader{v: e.v, opts: opts} }

// Close implements meta.Engine. There is nothing to close.
func (e *Engine) Close() error { return nil }

// State implements meta.Engine.
func (e *Engine) State(ctx context.Context) (meta.State, error) {
	e.v.mu.Lock()
	defer e.v.mu.Unlock()
	return e.v.state, ctx.Err()
}

// Volume implements meta.Engine.
func (e *Engine) Volume(ctx context.Context) (meta.Volume, error) {
	e.v.mu.Lock()
	defer e.v.mu.Unlock()
	var settings meta.Volume
	value, ok := e.v.tables.settings[volumeSetting]
	if !ok {
		return settings, &meta.Error{Op: "volume", Errno: syscall.ENOENT, Err: meta.ErrNoVolume}
	}
	if err := json.Unmarshal(value, &settings); err != nil {
		return settings, &meta.Error{Op: "volume", Errno: syscall.EIO, Err: err}
	}
	return settings, ctx.Err()
}

func encodeJSON(value any) []byte {
	b, err := json.Marshal(value)
	if err != nil {
		panic("model: " + err.Error()) // only types that JSON can say come here
	}
	return b
}
