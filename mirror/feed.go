package mirror

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"mirrorfs/meta"
)

// A mirror may follow the log of another one that is nearer than the source: its log has the
// same records, with the same checksums. Rows, settings and records come from that feeder; what
// this site has applied is told to both, so that neither trims what it needs nor deletes what
// it reads; and what the feeder's log does not reach back to comes from the source.

// feed is the upstream of a mirror that is fed by another one, which is what is embedded.
type feed struct {
	Upstream
	name   string
	source *farSource
}

// feedError is a failure of a feeder or of the way to it.
type feedError struct {
	name string
	err  error
}

func (e *feedError) Error() string {
	return fmt.Sprintf("the feeding site %s: %v; `mirrorfs mirror set --feed` names another one, or none for the source", e.name, e.err)
}

func (e *feedError) Unwrap() error { return e.err }

// behindError says that the feeder has not applied yet what is here.
type behindError struct{ at, here meta.Position }

func (e *behindError) Error() string {
	return fmt.Sprintf("the feeding site stands at %s, before the %s of this one: waiting for it", e.at, e.here)
}

// fed reports whether a mirror reads the log of another one.
func (i *Info) fed() bool { return i.Feed != "" }

// unfed is a mirror that reads the source's log.
func (i Info) unfed() Info {
	i.Feed, i.FeedSite = "", 0
	return i
}

func (i *Info) upstreamName() string {
	if i.fed() {
		return "the feeding site"
	}
	return "the source"
}

// open opens what the log is read from.
func (r *runner) open(ctx context.Context) (Upstream, error) {
	if !r.info.fed() || r.cfg.DialAt == nil {
		return r.cfg.Dial(ctx)
	}
	name := fmt.Sprintf("at %s", r.info.Feed)
	near, err := r.cfg.DialAt(ctx, r.info.Feed)
	if err != nil {
		return nil, &feedError{name, err}
	}
	return &feed{Upstream: near, name: name, source: newFarSource(r.cfg.Dial)}, nil
}

// blame says that the feeder failed.
func (f *feed) blame(err error) error {
	var answer *meta.Error
	if err == nil || errors.As(err, &answer) && !errors.Is(err, meta.ErrUnreachable) {
		return err
	}
	return &feedError{f.name, err}
}

// State implements meta.Source: that of the feeder.
func (f *feed) State(ctx context.Context) (meta.State, error) {
	s, err := f.Upstream.State(ctx)
	return s, f.blame(err)
}

// Volume implements meta.Source: as the feeder knows it.
func (f *feed) Volume(ctx context.Context) (meta.Volume, error) {
	v, err := f.Upstream.Volume(ctx)
	return v, f.blame(err)
}

// Scan implements meta.Source.
func (f *feed) Scan(ctx context.Context, from meta.Cursor, limit int) (meta.Batch, error) {
	b, err := f.Upstream.Scan(ctx, from, limit)
	return b, f.blame(err)
}

// Tail implements meta.Source. The feeder may have trimmed its log, or have been copied anew: the
// source keeps what this mirror has not acknowledged, so a gap is one only when the source has it too.
func (f *feed) Tail(ctx context.Context, after meta.Position, limit int, wait time.Duration) ([]meta.LogEntry, error) {
	entries, err := f.Upstream.Tail(ctx, after, limit, wait)
	if !errors.Is(err, meta.ErrGap) {
		return entries, f.blame(err)
	}
	if s, stateErr := f.Upstream.State(ctx); stateErr != nil || s.Position.Before(after) {
		return nil, err // it is behind, and will get there
	}
	source, err := f.source.get(ctx)
	if err != nil {
		return nil, err
	}
	return source.Tail(ctx, after, limit, wait)
}

// Acknowledge implements meta.Source. It tells both, so that one that does not answer keeps
// nothing from the other.
func (f *feed) Acknowledge(ctx context.Context, s meta.MirrorState) error {
	told := make(chan error, 1)
	go func() {
		source, err := f.source.get(ctx)
		if err == nil {
			err = source.Acknowledge(ctx, s)
		}
		told <- err
	}()
	return errors.Join(f.blame(f.Upstream.Acknowledge(ctx, s)), <-told)
}

// ForgetMirror implements meta.Source, at both.
func (f *feed) ForgetMirror(ctx context.Context, site uint8) error {
	source, err := f.source.get(ctx)
	if err == nil {
		err = source.ForgetMirror(ctx, site)
	}
	return errors.Join(err, f.blame(f.Upstream.ForgetMirror(ctx, site)))
}

// TrimLog implements meta.Source. It trims nothing: the feeder's runner trims both logs.
func (f *feed) TrimLog(context.Context, int) (int64, error) { return 0, nil }

// Local tells the facts of the feeder.
func (f *feed) Local(ctx context.Context) (map[string]string, error) {
	l, ok := f.Upstream.(localReader)
	if !ok {
		return nil, errors.New("the feeding site does not tell its facts")
	}
	return l.Local(ctx)
}

// Close closes both.
func (f *feed) Close() error { return errors.Join(f.Upstream.Close(), f.source.close()) }

func (f *feed) sourceState(ctx context.Context) (meta.State, error) {
	source, err := f.source.get(ctx)
	if err != nil {
		return meta.State{}, err
	}
	return source.State(ctx)
}

// sourceOf gives the source itself. The upstream that it is asked of closes it.
func sourceOf(ctx context.Context, src Upstream) (Upstream, error) {
	if f, ok := src.(*feed); ok {
		return f.source.get(ctx)
	}
	return src, nil
}

// farSource is a source that is asked for little: it is opened when it is needed.
type farSource struct {
	dial func(context.Context) (Upstream, error)
	// token is of one: who holds it may look at, and set, what is open.
	token  chan struct{}
	opened Upstream
}

func newFarSource(dial func(context.Context) (Upstream, error)) *farSource {
	return &farSource{dial: dial, token: make(chan struct{}, 1)}
}

func (s *farSource) get(ctx context.Context) (Upstream, error) {
	select {
	case s.token <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-s.token }()
	if s.opened != nil {
		return s.opened, nil
	}
	source, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	s.opened = source
	return source, nil
}

func (s *farSource) close() error {
	s.token <- struct{}{}
	defer func() { <-s.token }()
	if s.opened == nil {
		return nil
	}
	return s.opened.Close()
}

// isRemoved is what it means that the upstream does not count this mirror among the volume's sites:
// a feeder may just not have heard of it.
func (r *runner) isRemoved(ctx context.Context, src Upstream) error {
	f, ok := src.(*feed)
	if !ok {
		return ErrRemoved
	}
	source, err := f.source.get(ctx)
	if err != nil {
		return atSource(err)
	}
	v, err := source.Volume(ctx)
	switch {
	case err != nil:
		return atSource(err)
	case v.ID != r.info.VolumeID || v.Sites[r.info.Site].Name != r.info.Name:
		return ErrRemoved
	}
	return atSource(&feedError{f.name, errors.New("it does not know of this mirror yet")})
}

// sourceMoved follows a promotion that the feeder has heard of: when the feeder itself was promoted
// it is the source, else it or the volume's settings say where that is. The log goes on
// meanwhile, so nothing is lost when that is not known yet.
func (r *runner) sourceMoved(ctx context.Context, src Upstream, v *meta.Volume) error {
	if !r.info.fed() || v.SourceSite() == r.info.SourceSite {
		return nil
	}
	addresses := []string{v.Sites[v.SourceSite()].Address}
	if facts, ok := src.(localReader); ok {
		if info, err := Of(ctx, facts); err == nil {
			addresses = append(addresses, info.Source)
		}
	}
	if v.SourceSite() == r.info.FeedSite {
		addresses = []string{r.info.Feed}
	}
	for _, address := range addresses {
		if address == "" {
			continue
		}
		err := r.adopt(ctx, address, r.info)
		if err == nil {
			return errMoved
		}
		r.cfg.Logger.DebugContext(ctx, "the new source is not there", slog.String("address", address), slog.Any("error", err))
	}
	return nil
}

// pointedElsewhere is errMoved when this mirror was told to follow another log, or another source.
func (r *runner) pointedElsewhere(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	info, err := Of(ctx, r.cfg.Replica)
	if err == nil && (info.Feed != r.info.Feed || info.Source != r.info.Source || info.Relay != r.info.Relay) {
		return errMoved
	}
	return nil
}

// feeder is a site that may feed mirrors.
type feeder interface {
	Volume(ctx context.Context) (meta.Volume, error)
	Mirrors(ctx context.Context) ([]meta.MirrorState, error)
	ForgetMirror(ctx context.Context, site uint8) error
}

// forgetUnfed drops what mirrors have acknowledged here that are fed by this site no more: its
// log need not be kept for them.
func (r *runner) forgetUnfed(ctx context.Context, own feeder) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	all, err := own.Mirrors(ctx)
	if err != nil || len(all) == 0 {
		return
	}
	v, err := own.Volume(ctx)
	if err != nil || v.SourceSite() == r.info.Site {
		return
	}
	for i := range all {
		if v.Sites[all[i].Site].Feed == r.info.Site {
			continue
		}
		if err := own.ForgetMirror(ctx, all[i].Site); err != nil {
			r.cfg.Logger.DebugContext(ctx, "a mirror that was fed here was not forgotten", slog.Any("error", err))
		}
	}
}
