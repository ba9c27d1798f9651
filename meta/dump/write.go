package dump

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"

	"mirrorfs/meta"
)

// Source is what Write reads: a source's or a mirror's metadata.
type Source interface {
	State(ctx context.Context) (meta.State, error)
	Volume(ctx context.Context) (meta.Volume, error)
	Tail(ctx context.Context, after meta.Position, limit int, wait time.Duration) ([]meta.LogEntry, error)
	Scan(ctx context.Context, from meta.Cursor, limit int) (meta.Batch, error)
}

// Options are for all of this package. The zero value works.
type Options struct {
	// Rows bounds one question of a scan; default 2000.
	Rows int
	// Records bounds one question for the log; default 1000.
	Records int
	// Program is written down as what made the dump.
	Program string
	// Progress, if not nil, is told how many inodes are done, and of how many.
	Progress func(done, total uint64)
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

func (o *Options) setDefaults() {
	if o.Rows <= 0 {
		o.Rows = 2000
	}
	if o.Records <= 0 {
		o.Records = 1000
	}
	if o.Progress == nil {
		o.Progress = func(uint64, uint64) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// ErrIncomplete says that a mirror's metadata cannot be dumped because its first copy is
// not complete.
var ErrIncomplete = errors.New("the first copy of this mirror is not complete: dump the source")

// Write dumps a volume, which may be in use. meta.ErrGap when its log does not reach from one
// part of the dump to the next.
func Write(ctx context.Context, w io.Writer, src Source, opts Options) (Summary, error) {
	opts.setDefaults()
	v, err := src.Volume(ctx)
	if err != nil {
		return Summary{}, err
	}
	from, err := src.State(ctx)
	if err != nil {
		return Summary{}, err
	}
	if from.Role == meta.RoleBootstrapping {
		return Summary{}, ErrIncomplete
	}
	out, err := newPartWriter(w)
	if err != nil {
		return Summary{}, err
	}
	d := &dumper{src: src, opts: &opts, out: out, state: from}
	created := opts.Now().UTC().Truncate(time.Second)
	if err := d.json(partHeader, header{Volume: v, From: stateOf(&from), Created: created, Program: opts.Program}); err != nil {
		return Summary{}, err
	}
	if err := d.copyAll(ctx); err != nil {
		return Summary{}, err
	}
	d.counts.Parts = out.parts
	last := end{State: stateOf(&d.state), Counts: d.counts, SHA256: hex.EncodeToString(out.sum.Sum(nil))}
	if err := d.json(partEnd, last); err != nil {
		return Summary{}, err
	}
	return Summary{
		Volume: v.Name, ID: v.ID, Position: d.state.Position, Created: created,
		Used: d.state.Usage, Counts: d.counts, Bytes: out.bytes,
	}, nil
}

// dumper is a Write under way.
type dumper struct {
	src    Source
	opts   *Options
	out    *partWriter
	counts Counts
	state  meta.State // after the last record written
}

// copyAll writes all rows, and after each part of them the records that were made since the
// one before. A row that is newer than a record which follows it is made so again by
// later ones, for they are absolute; a record never comes after rows that are older
// than itself, because it was read before them.
func (d *dumper) copyAll(ctx context.Context) error {
	for cursor := meta.Cursor(nil); ; {
		batch, err := d.src.Scan(ctx, cursor, d.opts.Rows)
		if err != nil {
			return fmt.Errorf("scan: %w", err)
		}
		if err := d.rows(batch.Effects); err != nil {
			return err
		}
		head, err := d.src.State(ctx)
		if err != nil {
			return err
		}
		if err := d.follow(ctx, head.Position); err != nil {
			return err
		}
		d.opts.Progress(batch.Done, max(batch.Done, batch.Total))
		if cursor = batch.Next; cursor == nil {
			return nil
		}
	}
}

func (d *dumper) rows(b []byte) error {
	effects, err := meta.DecodeEffects(b)
	if err != nil {
		return fmt.Errorf("scan: %w", err)
	}
	d.counts.rows(effects)
	if len(b) <= fullPartBytes {
		if len(b) == 0 {
			return nil
		}
		return d.out.part(partRows, b)
	}
	var part []byte
	for i := range effects {
		if part = meta.AppendEffect(part, &effects[i]); len(part) < fullPartBytes && i+1 < len(effects) {
			continue
		}
		if err := d.out.part(partRows, part); err != nil {
			return err
		}
		part = part[:0]
	}
	return nil
}

// follow writes the records up to a position.
func (d *dumper) follow(ctx context.Context, to meta.Position) error {
	for d.state.Position.Before(to) {
		entries, err := d.src.Tail(ctx, d.state.Position, d.opts.Records, 0)
		if err != nil {
			return fmt.Errorf("log: %w", err)
		}
		if len(entries) == 0 {
			return fmt.Errorf("log: nothing follows %s, and the state is at %s: %w", d.state.Position, to, meta.ErrGap)
		}
		var part []byte
		for i := range entries {
			if err := advance(&d.state, &entries[i]); err != nil {
				return err
			}
			d.counts.Records++
			if part = appendEntry(part, &entries[i]); len(part) < fullPartBytes && i+1 < len(entries) {
				continue
			}
			if err := d.out.part(partLog, part); err != nil {
				return err
			}
			part = part[:0]
		}
	}
	return nil
}

// advance moves a state over a record, which must follow it.
func advance(s *meta.State, e *meta.LogEntry) error {
	if e.Position.Seq != s.Position.Seq+1 || e.Position.Epoch < s.Position.Epoch {
		return fmt.Errorf("%w: %s follows %s", meta.ErrGap, e.Position, s.Position)
	}
	chain, ok := meta.CheckChain(s.Chain, e.Raw)
	if !ok {
		return fmt.Errorf("%w: checksum of record %s", meta.ErrDiverged, e.Position)
	}
	r, err := meta.DecodeRecord(e.Raw)
	if err != nil {
		return fmt.Errorf("record %s: %w", e.Position, err)
	}
	s.Position, s.Chain, s.Counters = e.Position, chain, r.After
	return nil
}

func (d *dumper) json(kind byte, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("dump: %w", err)
	}
	return d.out.part(kind, b)
}

// partWriter writes parts, and sums all bytes.
type partWriter struct {
	w     io.Writer
	zstd  *zstd.Encoder
	sum   hash.Hash
	parts uint64
	bytes int64
	buf   []byte
	head  []byte
}

func newPartWriter(w io.Writer) (*partWriter, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	p := &partWriter{w: w, zstd: enc, sum: sha256.New()}
	return p, p.write([]byte(magic))
}

func (p *partWriter) write(b []byte) error {
	p.sum.Write(b)
	n, err := p.w.Write(b)
	p.bytes += int64(n)
	if err != nil {
		return fmt.Errorf("write the dump: %w", err)
	}
	return nil
}

// part writes one part, compressed when that makes it smaller.
func (p *partWriter) part(kind byte, content []byte) error {
	stored, codec := content, byte(codecRaw)
	if p.buf = p.zstd.EncodeAll(content, p.buf[:0]); len(p.buf) < len(content) {
		stored, codec = p.buf, codecZstd
	}
	p.head = appendPartHeader(p.head[:0], kind, codec, p.parts, stored, len(content))
	p.parts++
	if err := p.write(p.head); err != nil {
		return err
	}
	return p.write(stored)
}
