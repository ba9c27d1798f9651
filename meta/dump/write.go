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
	// Rows bounds one question of a scan; default 1000.
	Rows int
	// Records bounds one question for the log; default 1000.
	Records int
	// Damaged, if not nil, is called for inodes whose value cannot be decoded, which are then
	// left out of what Copy gives. Otherwise they are an error.
	Damaged func(ino meta.Ino, err error)
	// Continue, if not nil, is called by Load when a target stands at the state of the dump, and before
	// it becomes a source: it may apply what followed. It returns where the target stands then.
	Continue func(ctx context.Context, to Target, at meta.State) (meta.State, error)
	// Program is written down as what made the dump.
	Program string
	// Progress, if not nil, is told how many inodes are done, and of how many.
	Progress func(done, total uint64)
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

func (o *Options) setDefaults() {
	if o.Rows <= 0 {
		o.Rows = 1000
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
	d := &dumper{out: out}
	created := opts.Now().UTC().Truncate(time.Second)
	if err := d.json(partHeader, header{Volume: v, From: stateOf(&from), Created: created, Program: opts.Program}); err != nil {
		return Summary{}, err
	}
	opts.Damaged = nil
	at, err := Copy(ctx, src, from, d, opts)
	if err != nil {
		return Summary{}, err
	}
	d.counts.Parts = out.parts
	last := end{State: stateOf(&at), Counts: d.counts, SHA256: hex.EncodeToString(out.sum.Sum(nil))}
	if err := d.json(partEnd, last); err != nil {
		return Summary{}, err
	}
	return Summary{
		Volume: v.Name, ID: v.ID, Position: at.Position, Created: created, Latest: d.latest,
		Used: at.Usage, Counts: d.counts, Bytes: out.bytes,
	}, nil
}

// dumper is a Write under way.
type dumper struct {
	out    *partWriter
	counts Counts
	latest time.Time // when the last record was made
}

// Rows implements Sink.
func (d *dumper) Rows(effects []meta.Effect) error {
	d.counts.rows(effects)
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

// Records implements Sink.
func (d *dumper) Records(entries []meta.LogEntry, records []meta.Record) error {
	if n := len(records); n > 0 {
		d.latest = time.Unix(0, records[n-1].Time).UTC()
	}
	var part []byte
	for i := range entries {
		d.counts.Records++
		if part = meta.AppendLogEntry(part, &entries[i]); len(part) < fullPartBytes && i+1 < len(entries) {
			continue
		}
		if err := d.out.part(partLog, part); err != nil {
			return err
		}
		part = part[:0]
	}
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
