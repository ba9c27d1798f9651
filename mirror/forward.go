package mirror

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mirrorfs/meta"
)

// EngineOptions says what an Engine stands on. Near and Dial are needed.
type EngineOptions struct {
	// Near is the metadata of this site. The Engine owns it and closes it.
	Near meta.Engine
	// Dial opens the metadata of the source. It is called when the source is
	// first needed, again after it failed, and never twice at once. The Engine
	// owns what it returns. An engine that gives up a change after less than
	// ChangeTimeout is what makes a cut link fail in time: Engine waits for it.
	Dial func(ctx context.Context) (meta.Engine, error)
	// Where tells where the source is now, as this site knows; Dial goes there. It is asked
	// when the source does not answer or is fenced, and with each heartbeat: an engine goes
	// on at the new source, this site perhaps, with its session. nil: it never moves.
	Where func(ctx context.Context) (Whereabouts, error)
	// ChangeTimeout bounds a change when the source does not answer; default 10 s.
	ChangeTimeout time.Duration
	// ReadTimeout bounds a read that must wait for this site to catch up or
	// needs the source; default 5 s.
	ReadTimeout time.Duration
	// NearPatience is how long a read waits for this site to catch up before
	// it asks the source as well; default 3 ms. The log is usually as fast as the
	// reply of the change, so that asking at once would be a waste.
	NearPatience time.Duration
	// MaxLag sends reads to the source while this site is not known to have
	// all that the source had MaxLag ago. 0 is no such limit. While the source
	// does not answer, reads stay here: a cut takes away the bound, not the files.
	MaxLag time.Duration
	// MaxFloors bounds what is remembered of changes and reads at the source
	// until this site has them, in entries of some 300 bytes; default 65,536.
	MaxFloors int
	// Now is the clock; nil is time.Now.
	Now     func() time.Time
	Logger  *slog.Logger
	Metrics prometheus.Registerer
}

func (o *EngineOptions) setDefaults() error {
	if o.Near == nil || o.Dial == nil {
		return errors.New("mirror engine: Near and Dial are needed")
	}
	orDefault(&o.ChangeTimeout, 10*time.Second)
	orDefault(&o.ReadTimeout, 5*time.Second)
	orDefault(&o.NearPatience, 3*time.Millisecond)
	orDefault(&o.MaxFloors, 64<<10)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

func orDefault[T comparable](v *T, standard T) {
	var zero T
	if *v == zero {
		*v = standard
	}
}

// Engine is the metadata of a mirror's clients: it reads at this site and sends
// changes to the source, one round trip each. It implements meta.Engine and
// meta.Purger.
//
// What a caller has changed, or has seen at the source, it never sees older
// again: see floors. While the first copy is under way all reads go to the
// source.
//
// It starts nothing: the few goroutines that it has live no longer than the
// reads that need them.
type Engine struct {
	reader
	near    meta.Engine
	far     *link
	opts    EngineOptions
	floors  *floors
	watch   *watch
	copying *copying
	lag     *lag
	metrics *engineMetrics
	place   whereabouts

	reads sync.WaitGroup // goroutines of reads
}

// NewEngine makes a mirror's engine. It does no I/O: it works while the source
// cannot be reached.
func NewEngine(opts EngineOptions) (*Engine, error) {
	if err := opts.setDefaults(); err != nil {
		return nil, err
	}
	e := &Engine{
		near:   opts.Near,
		opts:   opts,
		floors: newFloors(opts.MaxFloors),
	}
	e.far = newLink(e.dial, opts.Now)
	e.reader = reader{e: e}
	e.watch = &watch{near: opts.Near, reached: e.floors.observe}
	e.copying = &copying{near: opts.Near, now: opts.Now}
	e.lag = &lag{max: opts.MaxLag, now: opts.Now}
	var err error
	if e.metrics, err = newEngineMetrics(opts.Metrics, e.floors.size, e.far.down); err != nil {
		return nil, err
	}
	return e, nil
}

// Volume returns the settings as they stand at this site.
func (e *Engine) Volume(ctx context.Context) (meta.Volume, error) { return e.near.Volume(ctx) }

// State returns where this site stands.
func (e *Engine) State(ctx context.Context) (meta.State, error) { return e.near.State(ctx) }

// View gives a reader that answers under the options. When this site has not
// reached opts.AtLeast, it waits or asks the source; ErrBehind means that the
// source has not reached it either.
func (e *Engine) View(opts meta.ViewOptions) meta.Reader { return reader{e: e, opts: opts} }

// Change sends the change to the source: one round trip. Later reads through
// this engine see it.
//
// When the source does not answer within ChangeTimeout, it fails with EIO
// wrapping meta.ErrUnreachable, and the change may or may not have been made.
func (e *Engine) Change(ctx context.Context, c meta.Change) (meta.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, e.opts.ChangeTimeout)
	defer cancel()
	begin := e.opts.Now()
	res, err := e.forward(ctx, c)
	e.metrics.changed(c.Op(), err, e.opts.Now().Sub(begin))
	if err == nil {
		e.learnChange(c, &res)
	}
	return res, err
}

// forward makes the change at the source.
func (e *Engine) forward(ctx context.Context, c meta.Change) (meta.Result, error) {
	op := c.Op().String()
	var res meta.Result
	asked := false
	err := e.atHead(ctx, func(ctx context.Context, far meta.Engine) (err error) {
		asked = true
		res, err = far.Change(ctx, c)
		return err
	})
	switch {
	case !asked:
		return meta.Result{}, e.farFailed(op, err)
	case isUnreachable(err):
		return res, e.farFailed(op, e.far.fail(err))
	case err != nil: // the source said no, because of something that may not be here yet
		e.floors.suspect(keysOf(c)...)
	}
	e.far.ok()
	return res, err
}

// farFailed makes the error of a source that did not answer.
func (e *Engine) farFailed(op string, err error) error {
	if errors.Is(err, errClosed) {
		return &meta.Error{Op: op, Errno: syscall.EIO, Err: err}
	}
	if !isUnreachable(err) {
		return err
	}
	return unreachable(op, err)
}

// learnChange notes what a change left behind, so that reads never see what was
// before it.
func (e *Engine) learnChange(c meta.Change, res *meta.Result) {
	if res.Position.IsZero() {
		return // there was nothing to change
	}
	if e.isHere() {
		e.floors.observe(res.Position)
		return
	}
	e.watch.notReached(res.Position, e.opts.Now())
	for i := range res.Effects {
		e.learnEffect(res.Position, &res.Effects[i])
	}
	for _, k := range keysOf(c) { // effects may have been left out
		e.floors.raise(res.Position, k, content{})
	}
}

func (e *Engine) learnEffect(at meta.Position, f *meta.Effect) {
	switch f.Kind {
	case meta.EffectInode:
		attr := f.Attr // the rest of the reply need not live as long
		e.floors.raise(at, inodeKey(f.Ino), content{attr: &attr})
	case meta.EffectInodeGone:
		e.floors.raise(at, inodeKey(f.Ino), content{gone: true})
	case meta.EffectEntry:
		e.floors.raise(at, entryKey(f.Parent, f.Name), content{child: f.Ino})
	case meta.EffectEntryGone:
		e.floors.raise(at, entryKey(f.Parent, f.Name), content{gone: true})
	case meta.EffectTarget:
		e.floors.raise(at, inodeKey(f.Ino), content{target: string(f.Value)})
	case meta.EffectChunk, meta.EffectChunkGone, meta.EffectXattr, meta.EffectXattrGone:
		e.floors.raise(at, inodeKey(f.Ino), content{})
	default: // sessions, settings, references: nothing that reads of files see
	}
}

// keysOf names what a change is about, as far as the request tells.
func keysOf(c meta.Change) []key {
	switch c := c.(type) {
	case meta.Make:
		return []key{inodeKey(c.Parent), entryKey(c.Parent, c.Name)}
	case meta.Link:
		return []key{inodeKey(c.Ino), inodeKey(c.Parent), entryKey(c.Parent, c.Name)}
	case meta.Unlink:
		return []key{inodeKey(c.Parent), entryKey(c.Parent, c.Name)}
	case meta.Rmdir:
		return []key{inodeKey(c.Parent), entryKey(c.Parent, c.Name)}
	case meta.Rename:
		return []key{
			inodeKey(c.OldParent), entryKey(c.OldParent, c.OldName),
			inodeKey(c.NewParent), entryKey(c.NewParent, c.NewName),
		}
	case meta.SetAttr:
		return []key{inodeKey(c.Ino)}
	case meta.Commit:
		return []key{inodeKey(c.Ino)}
	case meta.Clone:
		return []key{inodeKey(c.Src), inodeKey(c.Dst)}
	case meta.Compact:
		return []key{inodeKey(c.Ino)}
	case meta.SetXattr:
		return []key{inodeKey(c.Ino)}
	case meta.RemoveXattr:
		return []key{inodeKey(c.Ino)}
	case meta.Purge:
		return []key{inodeKey(c.Orphan.Ino)}
	case meta.SetQuota:
		return []key{inodeKey(c.Dir)}
	case meta.Count:
		return []key{inodeKey(c.Dir)}
	case meta.Restore:
		return []key{inodeKey(c.Orphan.Ino), inodeKey(c.Parent), entryKey(c.Parent, c.Name)}
	case meta.Repair:
		var keys []key
		for i := range c.Effects {
			switch e := &c.Effects[i]; e.Kind {
			case meta.EffectEntry, meta.EffectEntryGone:
				keys = append(keys, inodeKey(e.Parent), entryKey(e.Parent, e.Name))
			default:
				keys = append(keys, inodeKey(e.Ino))
			}
		}
		return keys
	default:
		return nil
	}
}

// StartSession registers this client at the source. While the source cannot be
// reached it fails with ErrUnreachable; reads need no session.
func (e *Engine) StartSession(ctx context.Context, info meta.SessionInfo) error {
	return e.atSource(ctx, "session_start", func(ctx context.Context, far meta.Engine) error {
		return far.StartSession(ctx, info)
	})
}

// Heartbeat keeps the session at the source alive. A client that does nothing learns by it
// that the source has moved.
func (e *Engine) Heartbeat(ctx context.Context, open []meta.Ino) error {
	e.follow(ctx)
	return e.atSource(ctx, "heartbeat", func(ctx context.Context, far meta.Engine) error {
		return far.Heartbeat(ctx, open)
	})
}

// EndSession ends the session at the source, if one was started.
func (e *Engine) EndSession(ctx context.Context) error {
	if e.far.opened() == nil {
		return nil
	}
	return e.atSource(ctx, "session_end", func(ctx context.Context, far meta.Engine) error {
		return far.EndSession(ctx)
	})
}

// Orphans asks the source.
func (e *Engine) Orphans(ctx context.Context, after meta.Orphan, before time.Time, limit int) (list []meta.Orphan, err error) {
	err = e.atSource(ctx, "orphans", func(ctx context.Context, far meta.Engine) error {
		p, ok := far.(meta.Purger)
		if !ok {
			return &meta.Error{Op: "orphans", Errno: syscall.ENOTSUP}
		}
		list, err = p.Orphans(ctx, after, before, limit)
		return err
	})
	return list, err
}

// Orphan asks the source.
func (e *Engine) Orphan(ctx context.Context, ino meta.Ino) (o meta.Orphan, err error) {
	err = e.atSource(ctx, "orphan", func(ctx context.Context, far meta.Engine) error {
		p, ok := far.(meta.Purger)
		if !ok {
			return &meta.Error{Op: "orphan", Ino: ino, Errno: syscall.ENOTSUP}
		}
		o, err = p.Orphan(ctx, ino)
		return err
	})
	return o, err
}

// Sessions asks the source.
func (e *Engine) Sessions(ctx context.Context) (list []meta.Session, err error) {
	err = e.atSource(ctx, "sessions", func(ctx context.Context, far meta.Engine) error {
		p, ok := far.(meta.Purger)
		if !ok {
			return &meta.Error{Op: "sessions", Errno: syscall.ENOTSUP}
		}
		list, err = p.Sessions(ctx)
		return err
	})
	return list, err
}

// atSource asks the source for something that is no read of files.
func (e *Engine) atSource(ctx context.Context, op string, ask func(context.Context, meta.Engine) error) error {
	ctx, cancel := context.WithTimeout(ctx, e.opts.ChangeTimeout)
	defer cancel()
	asked := false
	err := e.atHead(ctx, func(ctx context.Context, far meta.Engine) error {
		asked = true
		return ask(ctx, far)
	})
	switch {
	case !asked:
		return e.farFailed(op, err)
	case isUnreachable(err):
		return e.farFailed(op, e.far.fail(err))
	}
	e.far.ok()
	return err
}

// Close ends the connections of both sites, not the session.
func (e *Engine) Close() error {
	err := e.far.close()
	err = errors.Join(err, e.near.Close())
	e.reads.Wait()
	e.watch.running.Wait()
	return err
}
