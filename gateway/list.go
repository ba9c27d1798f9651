package gateway

import (
	"context"
	"strings"
	"time"
)

// List implements API. It asks for a page of each directory that it comes through, whatever their sizes.
func (g *Gateway) List(ctx context.Context, r ListRequest) (ListPage, error) {
	page, err := g.list(ctx, &r)
	if err != nil {
		return ListPage{}, fail("list", Name{Bucket: r.Bucket}, err)
	}
	return page, nil
}

// pastAll follows a prefix in a string that is after all keys that begin with the prefix.
var pastAll = strings.Repeat("\xff", maxObjectName+1) //nolint:gochecknoglobals // never changed

func (g *Gateway) list(ctx context.Context, r *ListRequest) (ListPage, error) {
	var page ListPage
	bucket, err := g.bucketDir(ctx, r.Bucket)
	if err != nil {
		return page, err
	}
	limit := min(r.Max, MaxListKeys)
	if limit <= 0 {
		return page, nil
	}
	after := r.After
	if r.AfterPrefix {
		after += pastAll
	}
	shallow := r.Delimiter == "/"
	w, err := g.newWalk(ctx, &bucket, r.Prefix, after, shallow, limit+1)
	if err != nil {
		return page, err
	}
	for {
		f, ok, err := w.next(ctx)
		if err != nil || !ok {
			return page, err
		}
		if len(page.Keys)+len(page.Prefixes) == limit {
			page.More = true
			return page, nil
		}
		prefix, grouped := f.key, f.dir
		if r.Delimiter != "" && !shallow {
			if i := strings.Index(f.key[len(r.Prefix):], r.Delimiter); i >= 0 {
				prefix, grouped = f.key[:len(r.Prefix)+i+len(r.Delimiter)], true
			}
		}
		page.Last, page.LastPrefix = prefix, grouped
		if !grouped {
			s := stored{}
			info := s.info(&f.node)
			page.Keys = append(page.Keys, Listed{Key: f.key, Size: info.Size, Modified: time.Unix(0, f.node.Attr.Mtime), ETag: info.ETag})
			continue
		}
		page.Prefixes = append(page.Prefixes, prefix)
		if !shallow { // past all that begins so
			if w, err = g.newWalk(ctx, &bucket, r.Prefix, prefix+pastAll, false, limit+1); err != nil {
				return page, err
			}
		}
	}
}
