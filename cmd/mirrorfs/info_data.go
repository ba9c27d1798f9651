package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"mirrorfs/chunk"
	"mirrorfs/meta"
	"mirrorfs/object"
)

// infoChunks is how many chunks are asked for at a time.
const infoChunks = 64

// infoHeads is how many requests to buckets are under way at a time.
const infoHeads = 16

// infoData tells of a file's extents and blocks.
func (c *cli) infoData(ctx context.Context, v *volume, view meta.Reader, a *meta.Attr, r *infoResult, opts infoOptions) error {
	chunks := (a.Size + chunk.Bytes - 1) / chunk.Bytes
	seen := map[string]bool{}
	for first := uint64(0); first < chunks; first += infoChunks {
		_, lists, err := view.Extents(ctx, r.Inode, uint32(first), infoChunks)
		if err != nil {
			return err
		}
		for _, l := range lists {
			k := infoChunk{Index: l.Index}
			for _, e := range l.Extents {
				k.Extents = append(k.Extents, infoExtent{
					Position: uint64(l.Index)*chunk.Bytes + uint64(e.Pos), Bytes: e.Len,
					Slice: e.Slice, Home: e.Home, Offset: e.Off, Size: e.Size,
				})
				r.addBlocks(&e, v.Settings.BlockBytes, seen)
			}
			r.Chunks = append(r.Chunks, k)
		}
	}
	if !opts.held {
		return nil
	}
	return c.askHolders(ctx, v, r.Blocks)
}

// addBlocks notes the blocks that an extent is in.
func (r *infoResult) addBlocks(e *meta.Extent, blockBytes int, seen map[string]bool) {
	if e.Slice == 0 {
		return
	}
	first, last := int(e.Off)/blockBytes, (int(e.Off)+int(e.Len)-1)/blockBytes
	for block := first; block <= last; block++ {
		key := chunk.Key(e.Home, e.Slice, block)
		if !seen[key] {
			seen[key] = true
			r.Blocks = append(r.Blocks, infoBlock{Object: key, Slice: e.Slice, Bytes: chunk.StoredBytes(e.Size, block, blockBytes)})
		}
	}
}

// askHolders asks each site's bucket for each block.
func (c *cli) askHolders(ctx context.Context, v *volume, blocks []infoBlock) (err error) {
	stores := map[string]object.Store{}
	defer func() {
		for _, s := range stores {
			err = errors.Join(err, s.Close())
		}
	}()
	for _, site := range v.Settings.Sites {
		if site.Bucket == "" {
			continue
		}
		s, err := c.openBucket(ctx, site.Bucket, site.Name, nil)
		if err != nil {
			return fmt.Errorf("bucket of site %s: %w", site.Name, err)
		}
		stores[site.Name] = s
	}
	for _, site := range v.Settings.Origins {
		s, err := c.openOrigin(ctx, v.Settings, site, nil)
		if err != nil {
			return err
		}
		stores["origin "+site.Name] = s
	}
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(infoHeads)
	for i := range blocks {
		b := &blocks[i]
		b.Sites = []string{}
		for _, name := range slices.Sorted(maps.Keys(stores)) {
			group.Go(func() error {
				info, err := stores[name].Head(ctx, b.Object)
				if errors.Is(err, object.ErrNotExist) {
					return nil
				}
				if err != nil {
					return fmt.Errorf("bucket of site %s: %w", name, err)
				}
				mu.Lock()
				defer mu.Unlock()
				if info.Size == b.Bytes {
					b.Sites = append(b.Sites, name)
				} else {
					b.Wrong = append(b.Wrong, name)
				}
				return nil
			})
		}
	}
	return group.Wait()
}
