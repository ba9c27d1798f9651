package compare

import (
	"context"
	"fmt"

	"mirrorfs/meta"
)

// pageRows is how many rows are read in one call.
const pageRows = 1000

// Rows are the rows of a range, by meta.RowKey.
type Rows struct {
	from, to meta.Place
	by       map[string]row
}

// row is a row as an effect or, of a kept reply that a record left, that record.
type row struct {
	effect meta.Effect
	text   string // the encoded effect
	reply  *meta.LogEntry
}

// Read reads the rows of a range. Those that change meanwhile may be old or new.
func Read(ctx context.Context, site meta.Comparer, from, to meta.Place) (*Rows, error) {
	return read(ctx, site, from, to, func(*Rows) error { return nil })
}

// read calls page after each part that it has read.
func read(ctx context.Context, site meta.Comparer, from, to meta.Place, page func(*Rows) error) (*Rows, error) {
	rows := &Rows{from: from, to: to, by: map[string]row{}}
	for cursor := meta.Cursor(nil); ; {
		b, err := site.Rows(ctx, from, to, cursor, pageRows)
		if err != nil {
			return nil, err
		}
		effects, err := meta.DecodeEffects(b.Effects)
		if err != nil {
			return nil, err
		}
		for i := range effects {
			rows.set(&effects[i])
		}
		if err := page(rows); err != nil {
			return nil, err
		}
		if cursor = b.Next; cursor == nil {
			return rows, nil
		}
	}
}

// Len is how many rows there are.
func (r *Rows) Len() int { return len(r.by) }

// Bytes is how many bytes they are as effects.
func (r *Rows) Bytes() uint64 {
	n := uint64(0)
	for _, row := range r.by {
		n += uint64(len(row.text))
	}
	return n
}

// IsDir tells whether an inode is among them and a directory.
func (r *Rows) IsDir(ino meta.Ino) bool {
	row, ok := r.by[meta.RowKey(&meta.Effect{Kind: meta.EffectInode, Ino: ino})]
	return ok && row.effect.Attr.IsDir()
}

func (r *Rows) set(e *meta.Effect) {
	r.by[meta.RowKey(e)] = row{effect: *e, text: string(meta.AppendEffect(nil, e))}
}

// apply sets or deletes the row of an effect of a record, if it is in the range.
func (r *Rows) apply(e *meta.Effect) {
	if at := meta.PlaceOf(e); at < r.from || at >= r.to {
		return
	}
	key := meta.RowKey(e)
	if meta.IsGone(e) {
		delete(r.by, key)
		if e.Kind == meta.EffectSessionGone {
			for k, row := range r.by {
				if row.effect.Kind == meta.EffectReply && row.effect.Session == e.Session {
					delete(r.by, k)
				}
			}
		}
		return
	}
	if e.Kind == meta.EffectChunk && e.Keep > 0 {
		whole := *e
		kept := r.by[key].effect.Value
		whole.Value = append(append([]byte(nil), kept[:min(int(e.Keep), len(kept))]...), e.Value...)
		whole.Keep = 0
		e = &whole
	}
	r.set(e)
}

// play applies a record.
func (r *Rows) play(entry *meta.LogEntry, rec *meta.Record) {
	ended := false
	for i := range rec.Effects {
		e := &rec.Effects[i]
		r.apply(e)
		ended = ended || e.Kind == meta.EffectSessionGone && e.Session == rec.Session
	}
	if rec.Session == 0 || ended {
		return
	}
	reply := meta.Effect{Kind: meta.EffectReply, Session: rec.Session, Slot: rec.Slot}
	if at := meta.PlaceOf(&reply); at >= r.from && at < r.to {
		r.by[meta.RowKey(&reply)] = row{effect: reply, reply: entry}
	}
}

// follow applies what the log of a site has from a state up to a position, and returns the state there. The
// records must follow the state.
func follow(ctx context.Context, log Log, from meta.State, to meta.Position, play func(*meta.LogEntry, *meta.Record)) (meta.State, error) {
	at := from
	for at.Position.Before(to) {
		entries, err := log.Tail(ctx, at.Position, 1000, 0)
		if err != nil {
			return at, err
		}
		if len(entries) == 0 {
			return at, fmt.Errorf("%w: nothing follows %s, and the site is at %s", meta.ErrGap, at.Position, to)
		}
		for i := range entries {
			if !at.Position.Before(to) {
				break
			}
			rec, err := advance(&at, &entries[i])
			if err != nil {
				return at, err
			}
			play(&entries[i], &rec)
		}
	}
	return at, nil
}

// advance moves a state over a record, which must follow it.
func advance(s *meta.State, e *meta.LogEntry) (meta.Record, error) {
	if e.Position.Seq != s.Position.Seq+1 || e.Position.Epoch < s.Position.Epoch {
		return meta.Record{}, fmt.Errorf("%w: %s follows %s", meta.ErrGap, e.Position, s.Position)
	}
	chain, ok := meta.CheckChain(s.Chain, e.Raw)
	if !ok {
		return meta.Record{}, fmt.Errorf("%w: the record %s does not follow the other site's state at %s", meta.ErrDiverged, e.Position, s.Position)
	}
	rec, err := meta.DecodeRecord(e.Raw)
	if err != nil {
		return rec, fmt.Errorf("record %s: %w", e.Position, err)
	}
	s.Position, s.Chain, s.Counters = e.Position, chain, rec.After
	return rec, nil
}

// replyBytes is what a kept reply has before the record: number, position, inode, whether it was cut.
const replyBytes = 4 + 12 + 6 + 1

// equal compares rows. A reply known by its record is compared with that.
func (r *row) equal(other *row) bool {
	switch {
	case r.reply != nil && other.reply != nil:
		return r.reply.Position == other.reply.Position
	case other.reply != nil:
		return other.equal(r)
	case r.reply == nil:
		return r.text == other.text
	}
	value, raw := other.effect.Value, r.reply.Raw
	if len(value) < replyBytes {
		return false
	}
	kept := value[replyBytes:]
	return len(kept) <= len(raw) && string(kept) == string(raw[:len(kept)])
}
