package dump

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"

	"mirrorfs/meta"
)

// Target is an empty place for a volume.
type Target interface {
	Reset(ctx context.Context, v meta.Volume, from meta.State) error
	Load(ctx context.Context, effects []byte) error
	Apply(ctx context.Context, from meta.State, entries []meta.LogEntry, target meta.Position) (meta.State, error)
	// BecomeSource makes what was loaded a source, when it stands exactly at a state.
	BecomeSource(ctx context.Context, at meta.State) error
}

// Verify reads a dump to its end and checks all that can be checked without loading it:
// the sums, the decoding of every row and record, the chain of records, the counts.
// *DamagedError says where it is not right.
func Verify(ctx context.Context, r io.Reader, opts Options) (Summary, error) {
	return read(ctx, r, nil, opts)
}

// Load fills an empty target with a dump, and makes it a source at the position
// of the dump. open is called once, with what the dump is of. When Load fails the target
// is left unusable; it can be repeated.
func Load(ctx context.Context, r io.Reader, open func(context.Context, meta.Volume) (Target, error), opts Options) (Summary, error) {
	return read(ctx, r, open, opts)
}

// loader is a read under way. Without a target it only checks.
type loader struct {
	open   func(context.Context, meta.Volume) (Target, error)
	to     Target
	in     *partReader
	opts   *Options
	header header
	state  meta.State // after the last record
	latest time.Time  // when that was made
	counts Counts
}

func read(ctx context.Context, r io.Reader, open func(context.Context, meta.Volume) (Target, error), opts Options) (Summary, error) {
	opts.setDefaults()
	in, err := newPartReader(r)
	if err != nil {
		return Summary{}, err
	}
	defer in.zstd.Close()
	l := &loader{open: open, in: in, opts: &opts}
	if err := l.begin(ctx); err != nil {
		return Summary{}, err
	}
	for {
		done, err := l.next(ctx)
		if err != nil {
			return Summary{}, err
		}
		if done {
			break
		}
	}
	if l.to != nil {
		if err := l.finish(ctx); err != nil {
			return Summary{}, err
		}
	}
	return Summary{
		Volume: l.header.Volume.Name, ID: l.header.Volume.ID, Position: l.state.Position, Created: l.header.Created, Latest: l.latest,
		Used: l.state.Usage, Counts: l.counts, Bytes: in.offset,
	}, nil
}

// finish makes the target a source, where Options.Continue leaves it.
func (l *loader) finish(ctx context.Context) (err error) {
	if l.opts.Continue != nil {
		if l.state, err = l.opts.Continue(ctx, l.to, l.state); err != nil {
			return err
		}
	}
	return l.to.BecomeSource(ctx, l.state)
}

// begin reads the first part.
func (l *loader) begin(ctx context.Context) error {
	kind, content, err := l.in.part()
	if err != nil {
		return err
	}
	if kind != partHeader {
		return l.in.damaged(errOrder)
	}
	if err := decodeJSON(content, &l.header); err != nil {
		return l.in.damaged(err)
	}
	l.state = l.header.From.meta(meta.RoleBootstrapping)
	if l.open == nil {
		return nil
	}
	if l.to, err = l.open(ctx, l.header.Volume); err != nil {
		return err
	}
	return l.to.Reset(ctx, l.header.Volume, l.state)
}

// next reads one more part, and reports whether it was the last.
func (l *loader) next(ctx context.Context) (done bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	before := l.in.sum.Sum(nil)
	kind, content, err := l.in.part()
	if err != nil {
		return false, err
	}
	switch kind {
	case partRows:
		return false, l.rows(ctx, content)
	case partLog:
		return false, l.log(ctx, content)
	case partEnd:
		return true, l.end(content, before)
	default:
		return false, l.in.damaged(errOrder)
	}
}

func (l *loader) rows(ctx context.Context, b []byte) error {
	effects, err := meta.DecodeEffects(b)
	if err != nil {
		return l.in.damaged(fmt.Errorf("%w: %w", errContent, err))
	}
	l.counts.rows(effects)
	l.opts.Progress(l.counts.Inodes, max(l.counts.Inodes, l.header.From.UsedInodes))
	if l.to == nil {
		return nil
	}
	return l.to.Load(ctx, b)
}

func (l *loader) log(ctx context.Context, b []byte) error {
	entries, err := meta.DecodeLogEntries(b)
	if err != nil {
		return l.in.damaged(fmt.Errorf("%w: %w", errContent, err))
	}
	from := l.state
	for i := range entries {
		rec, err := advance(&l.state, &entries[i])
		if err != nil {
			return l.in.damaged(err)
		}
		l.latest = time.Unix(0, rec.Time).UTC()
	}
	l.counts.Records += uint64(len(entries))
	if l.to == nil {
		return nil
	}
	at, err := l.to.Apply(ctx, from, entries, meta.Position{})
	if err == nil && at != l.state {
		err = fmt.Errorf("loaded up to %s, and the target is at %s: %w", l.state.Position, at.Position, meta.ErrMoved)
	}
	return err
}

// end compares what was read with what the last part says.
func (l *loader) end(b, sum []byte) error {
	var e end
	if err := decodeJSON(b, &e); err != nil {
		return l.in.damaged(err)
	}
	l.counts.Parts = l.in.parts - 1
	if e.Counts != l.counts || e.State != stateOf(&l.state) || e.SHA256 != hex.EncodeToString(sum) {
		return l.in.damaged(errEnd)
	}
	var one [1]byte
	if n, err := io.ReadFull(l.in.r, one[:]); n > 0 {
		l.in.start = l.in.offset
		return l.in.damaged(errRest)
	} else if !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the dump: %w", err)
	}
	return nil
}

// partReader reads parts, and sums all bytes.
type partReader struct {
	r      io.Reader
	zstd   *zstd.Decoder
	sum    hash.Hash
	parts  uint64
	offset int64 // bytes read
	start  int64 // of the part last read
	stored bytes.Buffer
	buf    []byte
}

func newPartReader(r io.Reader) (*partReader, error) {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPartBytes))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	p := &partReader{r: r, zstd: dec, sum: sha256.New()}
	var first [len(magic)]byte
	n, err := io.ReadFull(r, first[:])
	p.offset = int64(n)
	switch {
	case err != nil && !isEnd(err):
		err = fmt.Errorf("read the dump: %w", err)
	case string(first[:]) != magic:
		err = p.damaged(errNoDump)
	default:
		p.sum.Write(first[:])
		return p, nil
	}
	dec.Close()
	return nil, err
}

func isEnd(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// damaged makes the error for the part that was read last.
func (p *partReader) damaged(err error) error {
	return &DamagedError{Offset: p.start, Part: p.parts - min(p.parts, 1), Err: err}
}

// part reads the next part. Its content is good until the next call.
func (p *partReader) part() (kind byte, content []byte, err error) {
	p.start = p.offset
	p.parts++
	var head [partHeaderBytes]byte
	if err := p.fill(head[:]); err != nil {
		return 0, nil, err
	}
	stored, size := binary.BigEndian.Uint32(head[6:]), binary.BigEndian.Uint32(head[10:])
	if stored > maxPartBytes || size > maxPartBytes {
		return 0, nil, p.damaged(errSizes)
	}
	// A wrong length must not cost memory that the file does not have.
	p.stored.Reset()
	n, err := io.CopyN(&p.stored, p.r, int64(stored))
	p.offset += n
	if err != nil {
		return 0, nil, p.readError(err)
	}
	b := p.stored.Bytes()
	if partSum(head[:partSumAt], b) != binary.BigEndian.Uint32(head[partSumAt:]) {
		return 0, nil, p.damaged(errSum)
	}
	if uint64(binary.BigEndian.Uint32(head[2:])) != (p.parts-1)&(1<<32-1) {
		return 0, nil, p.damaged(errOrder)
	}
	p.sum.Write(head[:])
	p.sum.Write(b)
	switch head[1] {
	case codecRaw:
	case codecZstd:
		if p.buf, err = p.zstd.DecodeAll(b, p.buf[:0]); err != nil {
			return 0, nil, p.damaged(fmt.Errorf("%w: %w", errContent, err))
		}
		b = p.buf
	default:
		return 0, nil, p.damaged(fmt.Errorf("%w: codec %d", errContent, head[1]))
	}
	if len(b) != int(size) {
		return 0, nil, p.damaged(errSizes)
	}
	return head[0], b, nil
}

func (p *partReader) fill(b []byte) error {
	n, err := io.ReadFull(p.r, b)
	p.offset += int64(n)
	if err != nil {
		return p.readError(err)
	}
	return nil
}

func (p *partReader) readError(err error) error {
	if isEnd(err) {
		return p.damaged(errCut)
	}
	return fmt.Errorf("read the dump: %w", err)
}
