package mirror

import (
	"context"
	"log/slog"
	"time"

	"mirrorfs/meta"
)

const (
	// noteAnyway and reportAnyway are how often a runner shows that it lives when
	// nothing changes.
	noteAnyway   = 5 * time.Second
	reportAnyway = 10 * time.Second
	// callTimeout bounds a call to either site that nothing waits for.
	callTimeout = 5 * time.Second
)

// keepNote writes where the runner is among the facts of this site, for status.
func (r *runner) keepNote(ctx context.Context) error {
	tick := time.NewTicker(r.cfg.ReportInterval)
	defer tick.Stop()
	var last note
	for {
		n := r.progress.snapshot()
		same := n
		same.Seen, same.Fresh = last.Seen, last.Fresh
		if same != last || n.Seen.Sub(last.Seen) > noteAnyway {
			r.writeNote(ctx)
			last = n
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *runner) writeNote(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := setLocal(ctx, r.cfg.Replica, localRunner, r.progress.snapshot()); err != nil {
		r.cfg.Logger.DebugContext(ctx, "the runner's note was not written", slog.Any("error", err))
	}
}

// report tells the source how far this mirror is, learns where the source is, and
// trims the logs of both. Failures are left to the next time: whether the link
// is up is for follow to say.
func (r *runner) report(ctx context.Context, src Upstream) error {
	tick := time.NewTicker(r.cfg.ReportInterval)
	defer tick.Stop()
	var last meta.MirrorState
	var trimmed time.Time
	for {
		n := r.progress.snapshot()
		same := r.mirrorState(&n)
		same.Seen = last.Seen
		if same != last || n.Seen.Sub(last.Seen) > reportAnyway {
			last = r.acknowledge(ctx, src, &n, last)
		}
		if n.Seen.Sub(n.Fresh) > 2*max(r.cfg.ReportInterval, r.cfg.TailWait) {
			r.askHead(ctx, src)
		}
		if err := r.pointedElsewhere(ctx); err != nil {
			return err
		}
		if n.Seen.Sub(trimmed) > r.cfg.TrimInterval {
			r.trim(ctx, src)
			trimmed = n.Seen
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *runner) mirrorState(n *note) meta.MirrorState {
	s := meta.MirrorState{
		Site: r.info.Site, Name: r.info.Name, Mode: r.info.Mode,
		State: n.State, Reason: n.Reason, Applied: n.Applied, Seen: n.Seen,
		Host: n.Runner.Host, PID: n.Runner.PID,
	}
	if d := &n.data; d.Mode != "" {
		s.Mode, s.CompleteTo, s.PendingObjects, s.PendingBytes = d.Mode, d.CompleteTo, d.PendingObjects, d.PendingBytes
		if s.Reason == "" {
			s.Reason = d.Reason
		}
	}
	return s
}

// acknowledge reports to the source and returns what it was told last.
func (r *runner) acknowledge(ctx context.Context, src Upstream, n *note, last meta.MirrorState) meta.MirrorState {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if n.Applied.IsZero() {
		return last // not known yet
	}
	s := r.mirrorState(n)
	if err := src.Acknowledge(ctx, s); err != nil {
		r.cfg.Logger.DebugContext(ctx, "the source was not told how far this mirror is", slog.Any("error", err))
		return last
	}
	return s
}

func (r *runner) askHead(ctx context.Context, src Upstream) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	asked := r.cfg.Now()
	s, err := src.State(ctx)
	if f, ok := src.(*feed); ok {
		s, err = f.sourceState(ctx)
	}
	if err == nil {
		r.progress.sawHead(asked, s.Position)
	}
}

// trimmer is a log that can be cut: the source's, and that of a site that keeps one.
type trimmer interface {
	TrimLog(ctx context.Context, keep int) (int64, error)
}

func (r *runner) trim(ctx context.Context, src Upstream) {
	r.trimLog(ctx, "source", src, r.cfg.KeepRecords)
	if own, ok := r.cfg.Replica.(feeder); ok {
		r.forgetUnfed(ctx, own)
	}
	if own, ok := r.cfg.Replica.(trimmer); ok {
		r.trimLog(ctx, r.info.Name, own, r.cfg.KeepRecords+r.keptForData(ctx))
	}
}

func (r *runner) trimLog(ctx context.Context, site string, log trimmer, keep int) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	n, err := log.TrimLog(ctx, keep)
	if err != nil {
		r.cfg.Logger.DebugContext(ctx, "a log was not trimmed", slog.String("site", site), slog.Any("error", err))
	} else if n > 0 {
		r.cfg.Logger.DebugContext(ctx, "a log was trimmed", slog.String("site", site), slog.Int64("records", n))
	}
}
