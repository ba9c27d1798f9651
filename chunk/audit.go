package chunk

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"mirrorfs/object"
)

// SliceRef names a slice that should be in a store.
type SliceRef struct {
	Slice uint64
	Home  uint8
	Size  uint32 // bytes
}

// AuditOptions are for Audit. The zero value but for BlockBytes works.
type AuditOptions struct {
	BlockBytes int // of the volume
	// Jobs is how many requests are under way at a time; default 8.
	Jobs int
	// Progress, if not nil, is told how many slices are done. It is called by one goroutine
	// at a time.
	Progress func(slices int)
	// Bad is called for each slice of which a block is missing or has not its length, once.
	// It is called by one goroutine at a time.
	Bad func(s SliceRef, err error)
}

// Directories of a store: the two hex digits in a block's key.
const auditDirs = 256

// Audit looks whether the blocks of slices are in a store, whole by their length. It
// lists the store, and asks for what it does not find there in second, which may be the
// same store or one that finds an object in more places. slices is reordered. An
// error is that of a store that cannot be listed.
func Audit(ctx context.Context, store, second object.Store, slices []SliceRef, opts AuditOptions) error {
	if opts.Jobs <= 0 {
		opts.Jobs = 8
	}
	a := &audit{store: store, second: second, opts: opts}
	dirs := map[[2]uint8][]SliceRef{}
	for _, s := range slices {
		k := [2]uint8{s.Home, uint8(s.Slice % auditDirs)}
		dirs[k] = append(dirs[k], s)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(opts.Jobs)
	for k, wanted := range dirs {
		group.Go(func() error { return a.dir(ctx, k[0], k[1], wanted) })
	}
	return group.Wait()
}

// audit is an Audit under way.
type audit struct {
	store, second object.Store
	opts          AuditOptions

	mu   sync.Mutex // held while what the caller gave is called
	done int
}

// dir lists one directory and compares.
func (a *audit) dir(ctx context.Context, home, low uint8, wanted []SliceRef) error {
	found := make(map[uint64][]bool, len(wanted)) // by slice, for each block
	for _, s := range wanted {
		found[s.Slice] = make([]bool, BlockCount(s.Size, a.opts.BlockBytes))
	}
	sizes := make(map[uint64]uint32, len(wanted))
	for _, s := range wanted {
		sizes[s.Slice] = s.Size
	}
	prefix := fmt.Sprintf("data/%d/%02x/", home, low)
	for after := ""; ; {
		list, err := a.store.List(ctx, prefix, after, object.MaxListed)
		if err != nil {
			return err
		}
		for i := range list {
			_, slice, block, ok := ParseKey(list[i].Key)
			blocks := found[slice]
			if ok && block < len(blocks) && list[i].Size == StoredBytes(sizes[slice], block, a.opts.BlockBytes) {
				blocks[block] = true
			}
			after = list[i].Key
		}
		if len(list) < object.MaxListed {
			break
		}
	}
	for _, s := range wanted {
		err := a.missing(ctx, s, found[s.Slice])
		if ctx.Err() != nil {
			return ctx.Err()
		}
		a.note(s, err)
	}
	return nil
}

func (a *audit) note(s SliceRef, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.done++
	if a.opts.Progress != nil {
		a.opts.Progress(a.done)
	}
	if err != nil && a.opts.Bad != nil {
		a.opts.Bad(s, err)
	}
}

// missing asks for the blocks that no list had, and says what is wrong with the first.
func (a *audit) missing(ctx context.Context, s SliceRef, found []bool) error {
	for block, ok := range found {
		if ok {
			continue
		}
		key := Key(s.Home, s.Slice, block)
		info, err := a.second.Head(ctx, key)
		if errors.Is(err, object.ErrNotExist) {
			return fmt.Errorf("block %s is missing", key)
		}
		if err != nil {
			return err
		}
		if want := StoredBytes(s.Size, block, a.opts.BlockBytes); info.Size != want {
			return fmt.Errorf("block %s has %d bytes instead of %d", key, info.Size, want)
		}
	}
	return nil
}

// BlockCount is how many blocks a slice of so many bytes has.
func BlockCount(size uint32, blockBytes int) int {
	return int((int64(size) + int64(blockBytes) - 1) / int64(blockBytes))
}

// StoredBytes is the length of the object that holds a block of a slice of so many bytes.
func StoredBytes(size uint32, block, blockBytes int) int64 {
	raw := uint32(min(int64(blockBytes), int64(size)-int64(block)*int64(blockBytes)))
	return int64(headerBytes(raw)) + int64(raw)
}

// AuditDeep reads all blocks of slices and checks their sums. Blocks should be without a cache:
// it is the store that is looked at.
func (b *Blocks) AuditDeep(ctx context.Context, slices []SliceRef, opts AuditOptions) error {
	if opts.Jobs <= 0 {
		opts.Jobs = 8
	}
	a := &audit{opts: opts}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(opts.Jobs)
	for _, s := range slices {
		group.Go(func() error {
			err := b.readSlice(ctx, s)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			a.note(s, err)
			return nil
		})
	}
	return group.Wait()
}

// readSlice reads a slice, a block at a time.
func (b *Blocks) readSlice(ctx context.Context, s SliceRef) error {
	size, step := s.Size, uint32(b.opts.BlockBytes)
	for off := uint32(0); off < size; off += min(step, size-off) {
		spans, err := b.Read(ctx, []Segment{{Slice: s.Slice, Home: s.Home, Size: size, Off: off, Len: min(step, size-off)}})
		if err != nil {
			return err
		}
		ReleaseAll(spans)
	}
	return nil
}
