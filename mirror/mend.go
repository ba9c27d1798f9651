package mirror

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"

	"mirrorfs/meta"
	"mirrorfs/mirror/compare"
)

// mending is how far a repair is, and what it did. It is part of the claim, so that a repair
// that was interrupted is gone on with by whoever takes over, where it was.
type mending struct {
	// On says that the site is being repaired, not copied. Based, that its state is one of the
	// source's already: what is before Place is as it was there at that state or later.
	On    bool   `json:"on,omitempty"`
	Based bool   `json:"based,omitempty"`
	Place string `json:"place,omitempty"` // in hex digits: names are in it
	// NextIno and NextSlice are those of the state that the repair began from. While it goes on, the site's
	// own stand if they are higher, for it may have rows of numbers that the source has not given yet.
	NextIno   meta.Ino `json:"next_ino,omitempty"`
	NextSlice uint64   `json:"next_slice,omitempty"`
	// Chain is the state's checksum. While the repair goes on, the site's own is beingRepaired.
	Chain string `json:"chain,omitempty"`
	Repaired
}

func (m *mending) at() (meta.Place, error) {
	b, err := hex.DecodeString(m.Place)
	if err != nil {
		return "", fmt.Errorf("place of an interrupted repair: %w", err)
	}
	return meta.Place(b), nil
}

// beingRepaired stands where a state has its checksum, so that no record follows it: a runner that does not
// know of the repair yet applies nothing.
const beingRepaired = "being repaired.."

// Repaired is what a repair did. Of two runners that take it up at the same moment one goes on alone after
// the first page: what the other mended of that is not counted, for it did not differ any more.
type Repaired struct {
	// Compared counts rows whose sums were compared, in Pages round trips to the source.
	Compared uint64 `json:"compared_rows"`
	Pages    uint64 `json:"pages"`
	// Read counts rows that were read at the source because their sums differed, of so many bytes.
	Read      uint64 `json:"read_rows"`
	ReadBytes uint64 `json:"read_bytes"`
	// Copied and Removed count the rows that differed.
	Copied  uint64 `json:"copied_rows"`
	Removed uint64 `json:"removed_rows"`
}

// mend makes the rows of a site what they are at the source, by copying only what differs. The state
// of the source is noted first, and replaying the log from there mends what was compared too
// early or too late, just as with a copy.
func (r *runner) mend(ctx context.Context, src Upstream, mine *claim) error {
	if !mine.Mending.Based {
		if err := r.rebase(ctx, src, mine); err != nil {
			return err
		}
	} else if here, err := r.cfg.Replica.State(ctx); err != nil {
		return err
	} else {
		here.Chain = mine.Mending.Chain
		if err := r.checkHead(ctx, src, here); err != nil {
			return err
		}
	}
	at, err := mine.Mending.at()
	if err != nil {
		return err
	}
	for at != meta.PlaceEnd {
		end, err := r.mendPage(ctx, src, at, &mine.Mending.Repaired)
		if err != nil {
			return err
		}
		at = end
		mine.Mending.Place = hex.EncodeToString([]byte(at))
		if err := r.renew(ctx, mine); err != nil {
			return err
		}
		r.progress.copying(fmt.Sprintf("repairing: %d rows compared, %d copied, %d removed", mine.Mending.Compared, mine.Mending.Copied, mine.Mending.Removed))
	}
	here, err := r.cfg.Replica.State(ctx)
	if err != nil {
		return err
	}
	here.NextIno, here.NextSlice, here.Chain = mine.Mending.NextIno, mine.Mending.NextSlice, mine.Mending.Chain
	return r.cfg.Replica.Rebase(ctx, here)
}

// rebase makes the site stand where the source does, whatever its rows are. The source keeps its
// log from there on: it is told before.
func (r *runner) rebase(ctx context.Context, src Upstream, mine *claim) error {
	from, err := src.State(ctx)
	if err != nil {
		return atSource(err)
	}
	err = src.Acknowledge(ctx, meta.MirrorState{
		Site: r.info.Site, Name: r.info.Name, Mode: r.info.Mode, State: StateBootstrapping, Reason: "a repair begins",
		Applied: from.Position, Seen: r.cfg.Now().UTC(),
	})
	if err != nil {
		return atSource(err)
	}
	// The state that is begun from is read once more: the log may have been trimmed before it was told.
	if from, err = src.State(ctx); err != nil {
		return atSource(err)
	}
	if from.Role != meta.RoleSource && from.Role != meta.RoleMirror {
		return r.checkHead(ctx, src, from)
	}
	here, err := r.cfg.Replica.State(ctx)
	if err != nil {
		return err
	}
	mine.Mending.NextIno, mine.Mending.NextSlice, mine.Mending.Chain = from.NextIno, from.NextSlice, from.Chain
	from.Chain = beingRepaired
	from.NextIno, from.NextSlice = max(from.NextIno, here.NextIno), max(from.NextSlice, here.NextSlice)
	r.cfg.Logger.InfoContext(ctx, "repairing: all rows are compared with the source's", slog.String("from", from.Position.String()))
	if err := r.cfg.Replica.Rebase(ctx, from); err != nil {
		return err
	}
	from.Role = meta.RoleBootstrapping
	r.progress.stands(from)
	mine.Mending.Based = true
	return r.renew(ctx, mine)
}

// mendPage compares a run of rows and copies what differs. It returns where the next one begins.
func (r *runner) mendPage(ctx context.Context, src Upstream, from meta.Place, done *Repaired) (meta.Place, error) {
	there, err := outlast(ctx, r, func() (meta.Digest, error) { return src.Digest(ctx, from, nil, r.cfg.ScanRows) })
	if err != nil {
		return from, err
	}
	var ends []meta.Place
	for i := range there.Parts {
		if there.Parts[i].Sum == "" {
			break
		}
		ends = append(ends, there.Parts[i].End)
	}
	var here meta.Digest
	if len(ends) > 0 {
		if here, err = r.cfg.Replica.Digest(ctx, from, ends, r.cfg.ScanRows); err != nil {
			return from, err
		}
	}
	done.Pages++
	at := from
	for i := range there.Parts {
		p := &there.Parts[i]
		if i >= len(here.Parts) || here.Parts[i].Sum != p.Sum {
			if i > 0 && i >= len(here.Parts) && p.Sum != "" {
				return at, nil // there is more here than fits: the next page begins here
			}
			if err := r.mendPart(ctx, src, at, p.End, done); err != nil {
				return from, err
			}
		}
		done.Compared += uint64(p.Rows) //nolint:gosec // a count
		at = p.End
	}
	return at, nil
}

// mendPart makes the rows of a range what they are at the source.
func (r *runner) mendPart(ctx context.Context, src Upstream, from, to meta.Place, done *Repaired) error {
	want, err := outlast(ctx, r, func() (*compare.Rows, error) { return compare.Read(ctx, src, from, to) })
	if err != nil {
		return err
	}
	got, err := compare.Read(ctx, r.cfg.Replica, from, to)
	if err != nil {
		return err
	}
	set, gone := compare.Changes(want, got)
	done.Read += uint64(want.Len()) //nolint:gosec // a count
	done.ReadBytes += want.Bytes()
	if r.found != nil {
		r.found(compare.Differ(want, got))
	}
	for i := range gone {
		if dir := gone[i].Ino; gone[i].Kind == meta.EffectInodeGone && got.IsDir(dir) {
			// Entries are found by the inode of their directory, so they go first, all of them.
			if err := r.emptyDir(ctx, dir, to, done); err != nil {
				return err
			}
		}
	}
	done.Removed += uint64(len(gone))
	done.Copied += uint64(len(set))
	r.metrics.copied(int(want.Bytes())) //nolint:gosec // a count
	return r.cfg.Replica.Load(ctx, compare.Encode(gone, set))
}

// emptyDir removes the entries of a directory that is to go, from a place on.
func (r *runner) emptyDir(ctx context.Context, dir meta.Ino, from meta.Place, done *Repaired) error {
	rows, err := compare.Read(ctx, r.cfg.Replica, max(from, meta.PlaceOfEntries(dir)), meta.PlaceOfInode(dir+1))
	if err != nil {
		return err
	}
	_, gone := compare.Changes(nil, rows)
	done.Removed += uint64(len(gone))
	return r.cfg.Replica.Load(ctx, compare.Encode(gone, nil))
}

// outlast asks the source, and outlasts a lost link: what takes long is not begun anew because
// of a cut.
func outlast[T any](ctx context.Context, r *runner, ask func() (T, error)) (T, error) {
	backoff := r.backoff()
	for {
		v, err := ask()
		if err == nil {
			r.progress.linkUp()
			return v, nil
		}
		if !errors.Is(err, meta.ErrUnreachable) {
			return v, atSource(err)
		}
		r.progress.linkLost(err)
		if err := pause(ctx, backoff.next()); err != nil {
			return v, err
		}
	}
}
