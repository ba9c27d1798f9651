package mirror

import (
	"context"
	"errors"
	"fmt"
	"path"
	"time"

	"mirrorfs/meta"
)

// LostChange is a change that an old source had acknowledged and that is not part of the
// volume, because another site was promoted before it was carried there.
type LostChange struct {
	Position  meta.Position `json:"position"`
	Time      time.Time     `json:"time"` // by its client's clock
	Operation string        `json:"operation"`
	// Client is who made it, as far as that is known.
	Client *meta.SessionInfo `json:"client,omitempty"`
	// Inodes are those that it changed, Paths where they are at the old source, and the
	// names that it made or removed.
	Inodes []meta.Ino `json:"inodes,omitempty"`
	Paths  []string   `json:"paths,omitempty"`
	// Slices is data that the change made known: it is still in the buckets.
	Slices []meta.Slice `json:"slices,omitempty"`
}

// report hands over all changes after the last common one. The old source is fenced, so its
// log has an end.
func (r *rejoining) report(ctx context.Context) error {
	clients, err := r.clients(ctx)
	if err != nil {
		return fmt.Errorf("old source: %w", err)
	}
	after, chain := r.common.Position, r.common.Chain
	for after.Seq < r.at.Position.Seq {
		entries, err := r.old.Tail(ctx, after, drainRecords, 0)
		if errors.Is(err, meta.ErrGap) && after == r.common.Position {
			return r.trimmed(err)
		}
		if err != nil {
			return fmt.Errorf("old source: %w", err)
		}
		for _, e := range entries {
			next, ok := meta.CheckChain(chain, e.Raw)
			if !ok && r.opts.Force && after == r.common.Position { // it was not found
				next = string(e.Raw[len(e.Raw)-len(meta.EmptyChain):])
			} else if !ok {
				return fmt.Errorf("old source: record %s: %w", e.Position, meta.ErrDiverged)
			}
			rec, err := meta.DecodeRecord(e.Raw)
			if err != nil {
				return fmt.Errorf("old source: record %s: %w", e.Position, err)
			}
			if err := r.opts.Lost(r.lostChange(ctx, e.Position, &rec, clients)); err != nil {
				return fmt.Errorf("report of lost changes: %w", err)
			}
			after, chain = e.Position, next
		}
	}
	return nil
}

// trimmed is when the log begins after the place where the sites parted.
func (r *rejoining) trimmed(err error) error {
	r.res.Unknown = r.res.Lost
	if r.opts.Force {
		return nil
	}
	return fmt.Errorf("old source: its log does not tell any more of the %d changes that are lost: %w", r.res.Lost, err)
}

func (r *rejoining) clients(ctx context.Context) (map[meta.SessionID]*meta.SessionInfo, error) {
	known := map[meta.SessionID]*meta.SessionInfo{}
	p, ok := r.old.(meta.Purger)
	if !ok {
		return known, nil
	}
	all, err := p.Sessions(ctx)
	for i := range all {
		known[all[i].ID] = &all[i].Info
	}
	return known, err
}

// lostChange says what a record did.
func (r *rejoining) lostChange(ctx context.Context, at meta.Position, rec *meta.Record, clients map[meta.SessionID]*meta.SessionInfo) LostChange {
	l := LostChange{Position: at, Time: time.Unix(0, rec.Time).UTC(), Operation: rec.Op.String(), Client: clients[rec.Session]}
	seen := map[meta.Ino]bool{}
	named := map[string]bool{}
	inode := func(ino meta.Ino) {
		if !seen[ino] {
			seen[ino] = true
			l.Inodes = append(l.Inodes, ino)
		}
	}
	name := func(p string) {
		if p != "" && !named[p] {
			named[p] = true
			l.Paths = append(l.Paths, p)
		}
	}
	for i := range rec.Effects {
		switch e := &rec.Effects[i]; e.Kind {
		case meta.EffectEntry, meta.EffectEntryGone:
			if dir := r.pathOf(ctx, e.Parent); dir != "" {
				name(path.Join(dir, e.Name))
			}
		case meta.EffectSliceWritten:
			l.Slices = append(l.Slices, e.Slice)
		case meta.EffectInode, meta.EffectInodeGone, meta.EffectChunk, meta.EffectChunkGone, meta.EffectXattr, meta.EffectXattrGone:
			inode(e.Ino)
		default:
		}
	}
	if len(l.Paths) == 0 { // what was changed has no new name
		for _, ino := range l.Inodes {
			name(r.pathOf(ctx, ino))
		}
	}
	return l
}

// pathOf is empty when nobody can tell: a report says what it can.
func (r *rejoining) pathOf(ctx context.Context, ino meta.Ino) string {
	if r.opts.Path == nil {
		return ""
	}
	p, err := r.opts.Path(ctx, ino)
	if err != nil {
		return ""
	}
	return p
}
