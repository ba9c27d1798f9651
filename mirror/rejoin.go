package mirror

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"mirrorfs/meta"
)

// RejoinOptions says how an old source becomes a mirror. SourceAddress is needed.
type RejoinOptions struct {
	// SourceAddress is where the old source reaches the metadata of the new one.
	SourceAddress string
	// OldAddress is where others reach the old source; empty leaves what is known of it.
	OldAddress string
	// Lost is given every change that is not part of the volume, in order, before anything is
	// changed; nil refuses to lose any. Seal is called after the last one, and returns when
	// they are safely stored.
	Lost func(LostChange) error
	Seal func() error
	// Path finds the path of an inode at the old source; nil leaves paths out.
	Path func(ctx context.Context, ino meta.Ino) (string, error)
	// Force goes on when the old source's log does not hold all of what is lost any more.
	Force bool
	// Now is the clock; nil is time.Now.
	Now    func() time.Time
	Logger *slog.Logger
}

// RejoinResult tells what a rejoin did.
type RejoinResult struct {
	Info
	// Already: the site was a mirror of the new source before.
	Already bool `json:"already,omitempty"`
	// Common is the last position that both sites have. Lost counts the changes after it
	// that the old source had acknowledged; of Unknown of them its log does not tell.
	Common  meta.Position `json:"common"`
	Lost    uint64        `json:"lost"`
	Unknown uint64        `json:"unknown,omitempty"`
	// Copy: the metadata will be copied anew by the runner. Else it follows from Common.
	Copy bool `json:"copy"`
}

// Rejoin makes an old source a mirror of the one that was promoted in its place. What it had
// acknowledged and the new source never saw is given to Lost first. When that is nothing, it
// follows from where it is; else its metadata is copied anew. It can be repeated. Mounts of the
// old source go on read-only and have to be mounted again. It gets the data mode that the other one
// had as a mirror, if both have a bucket: its runner then copies what either bucket lacks.
func Rejoin(ctx context.Context, old, source Site, opts RejoinOptions) (RejoinResult, error) {
	r := rejoining{old: old, source: source, opts: &opts}
	if opts.SourceAddress == "" {
		return r.res, errors.New("rejoin: the address of the new source is needed")
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if err := r.begin(ctx); err != nil || r.res.Already {
		return r.res, err
	}
	if err := r.compare(ctx); err != nil {
		return r.res, err
	}
	if err := r.register(ctx); err != nil {
		return r.res, err
	}
	return r.res, r.become(ctx)
}

// rejoining is a rejoin under way.
type rejoining struct {
	old, source Site
	opts        *RejoinOptions

	volume meta.Volume // as the new source has it
	at     meta.State  // where the old source stands, fenced
	from   meta.State  // where the new source stands
	step   meta.Promotion
	common meta.State // the last that both had
	res    RejoinResult
}

// begin makes sure that the one is the old source of the other, and that it is fenced.
func (r *rejoining) begin(ctx context.Context) error {
	var err error
	if r.volume, err = r.source.Volume(ctx); err != nil {
		return fmt.Errorf("new source: %w", err)
	}
	if r.from, err = r.source.State(ctx); err != nil {
		return fmt.Errorf("new source: %w", err)
	}
	was, err := r.old.Volume(ctx)
	if err != nil {
		return fmt.Errorf("old source: %w", err)
	}
	if r.at, err = r.old.State(ctx); err != nil {
		return fmt.Errorf("old source: %w", err)
	}
	switch {
	case was.ID != r.volume.ID:
		return errors.New("the two addresses hold different volumes")
	case r.from.Role != meta.RoleSource:
		return errors.New("the second address is not the source of the volume: give the one that was promoted")
	case r.at.Role == meta.RoleMirror || r.at.Role == meta.RoleBootstrapping:
		return r.mirrorAlready(ctx)
	}
	var ok bool
	if r.step, ok = r.volume.PromotedAfter(r.at.Position); !ok {
		return fmt.Errorf("the first address stands at %s, and no site was promoted after that: it is not an old source of the second", r.at.Position)
	}
	site := r.volume.Sites[r.step.From]
	r.res.Info = Info{
		Source: withoutPassword(r.opts.SourceAddress), SourceSite: r.volume.SourceSite(),
		Site: r.step.From, Name: site.Name, Mode: ModeDemand, VolumeID: r.volume.ID, WasSource: true,
	}
	own := r.volume.Sites[r.volume.SourceSite()]
	// The parts are exchanged: it holds what the other one held of it.
	if now, err := Of(ctx, r.source); err == nil && needsBucket(now.Mode) && site.Bucket != "" && own.Bucket != "" {
		r.res.Mode, r.res.Bandwidth = now.Mode, now.Bandwidth
	}
	_, r.at, err = fence(ctx, r.old, Fence{
		Site: own.ID, Name: own.Name, Address: r.res.Source, Reason: "rejoins as a mirror", Time: r.opts.Now().UTC().Round(0),
	}, true)
	if err != nil {
		return fmt.Errorf("old source: %w", err)
	}
	return nil
}

// mirrorAlready finds a rejoin that was made before.
func (r *rejoining) mirrorAlready(ctx context.Context) error {
	info, err := Of(ctx, r.old)
	if err != nil {
		return fmt.Errorf("old source: %w", err)
	}
	if info.SourceSite != r.volume.SourceSite() {
		return errors.New("the first address holds a mirror of another source")
	}
	r.res.Info, r.res.Already = info, true
	return nil
}

// compare finds where the two parted, and hands over what is lost.
func (r *rejoining) compare(ctx context.Context) error {
	var err error
	if r.common, err = r.parted(ctx); errors.Is(err, meta.ErrDiverged) && r.opts.Force {
		r.common, err = meta.State{Position: r.step.After, Chain: r.step.Chain}, nil
		r.opts.Logger.WarnContext(ctx, "nobody can tell any more from where on the sites differ: what is lost is told from the promotion on", slog.String("from", r.step.After.String()))
	}
	if err != nil {
		return err
	}
	r.res.Common = r.common.Position
	if r.res.Copy = r.at.Position != r.step.After || r.at.Chain != r.step.Chain; r.at.Position.Seq <= r.common.Position.Seq {
		return nil // all that it has is there
	}
	r.res.Lost = r.at.Position.Seq - r.common.Position.Seq
	if r.opts.Lost == nil {
		return fmt.Errorf("the old source has %d changes that the new one never saw: nothing was changed", r.res.Lost)
	}
	if err := r.report(ctx); err != nil || r.opts.Seal == nil {
		return err
	}
	if err := r.opts.Seal(); err != nil {
		return fmt.Errorf("report of lost changes: %w", err)
	}
	return nil
}

// register tells the new source of its mirror, so that it keeps its log for it.
func (r *rejoining) register(ctx context.Context) error {
	v := r.volume
	v.Sites, v.Promotions = maps.Clone(v.Sites), slices.Clone(v.Promotions)
	site := v.Sites[r.res.Site]
	site.ID, site.Name, site.Detached = r.res.Site, r.res.Name, false
	if r.opts.OldAddress != "" {
		site.Address = withoutPassword(r.opts.OldAddress)
	}
	v.Sites[r.res.Site] = site
	for i := range v.Promotions {
		if p := &v.Promotions[i]; p.Epoch == r.step.Epoch {
			p.Rejoined = r.opts.Now().UTC().Round(0)
		}
	}
	applied := r.from.Position
	if !r.res.Copy {
		applied = r.at.Position
	}
	err := r.source.Acknowledge(ctx, meta.MirrorState{
		Site: r.res.Site, Name: r.res.Name, State: StateBootstrapping, Reason: "no runner was seen yet",
		Applied: applied, Seen: r.opts.Now(), Mode: r.res.Mode,
	})
	if err == nil {
		_, err = r.source.Change(ctx, meta.Settings{Volume: v})
	}
	if err != nil {
		return fmt.Errorf("new source: %w", err)
	}
	r.volume = v
	return nil
}

// become makes the old source a mirror. Its facts come first: a site without them would be
// none.
func (r *rejoining) become(ctx context.Context) error {
	err := r.old.SetLocal(ctx, map[string]string{localCopy: "", localRunner: ""})
	err = errors.Join(err, setLocal(ctx, r.old, localInfo, r.res.Info))
	switch {
	case err != nil:
	case r.res.Copy:
		if err = r.forgetMirrors(ctx); err == nil {
			err = r.old.Reset(ctx, r.volume, r.from)
		}
		if err == nil {
			err = r.old.SetLocal(ctx, map[string]string{meta.LocalFence: ""})
		}
	default:
		err = r.old.Demote(ctx, r.at)
	}
	if err != nil {
		return fmt.Errorf("old source: %w", err)
	}
	r.opts.Logger.InfoContext(ctx, "the old source is a mirror now", slog.String("site", r.res.Name), slog.Uint64("lost", r.res.Lost), slog.Bool("copy", r.res.Copy))
	return nil
}

// forgetMirrors drops what mirrors told the old source: its own log need not be kept for them.
func (r *rejoining) forgetMirrors(ctx context.Context) error {
	all, err := r.old.Mirrors(ctx)
	if err != nil {
		return err
	}
	for i := range all {
		if err := r.old.ForgetMirror(ctx, all[i].Site); err != nil {
			return err
		}
	}
	return nil
}
