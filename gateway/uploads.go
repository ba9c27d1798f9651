package gateway

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"mirrorfs/meta"
)

// Parts implements API.
func (g *Gateway) Parts(ctx context.Context, r PartsRequest) (PartsPage, error) {
	page, err := g.listParts(ctx, &r)
	if err != nil {
		return PartsPage{}, fail("parts", r.Name, err)
	}
	return page, nil
}

func (g *Gateway) listParts(ctx context.Context, r *PartsRequest) (PartsPage, error) {
	u, err := g.upload(ctx, r.UploadName)
	if err != nil {
		return PartsPage{}, err
	}
	out := PartsPage{Upload: u.public()}
	limit := min(r.Max, MaxListParts)
	if limit <= 0 || r.After >= MaxParts {
		return out, nil
	}
	page, err := g.fs.ReadDir(ctx, u.dir, partName(max(r.After, 0)), limit)
	if errors.Is(err, syscall.ENOENT) {
		return out, refuse(NoSuchUpload)
	}
	if err != nil {
		return out, err
	}
	for i := range page.Entries {
		e := &page.Entries[i]
		number, err := strconv.Atoi(e.Name)
		if err != nil {
			continue // no part
		}
		s, err := g.stored(ctx, &e.Node)
		if errors.Is(err, syscall.ENOENT) {
			continue // another one takes its place
		}
		if err != nil {
			return out, err
		}
		info := s.info(&e.Node)
		out.Parts = append(out.Parts, Part{Number: number, Size: info.Size, Modified: info.Modified, ETag: info.ETag, Checksum: info.Checksum})
	}
	out.More = page.More
	return out, nil
}

// Uploads implements API. It looks at all uploads of the volume for each page: they are few.
func (g *Gateway) Uploads(ctx context.Context, r UploadsRequest) (UploadsPage, error) {
	page, err := g.listUploads(ctx, &r)
	if err != nil {
		return UploadsPage{}, fail("uploads", Name{Bucket: r.Bucket}, err)
	}
	return page, nil
}

func (g *Gateway) listUploads(ctx context.Context, r *UploadsRequest) (UploadsPage, error) {
	var page UploadsPage
	if _, err := g.bucketDir(ctx, r.Bucket); err != nil {
		return page, err
	}
	limit := min(r.Max, MaxListKeys)
	all, err := g.allUploads(ctx, r)
	if err != nil || limit <= 0 {
		return page, err
	}
	for _, u := range all {
		prefix, grouped := u.Key, false
		if r.Delimiter != "" {
			if i := strings.Index(u.Key[len(r.Prefix):], r.Delimiter); i >= 0 {
				prefix, grouped = u.Key[:len(r.Prefix)+i+len(r.Delimiter)], true
			}
		}
		if last := len(page.Prefixes) - 1; grouped && (last >= 0 && page.Prefixes[last] == prefix || prefix == r.After) {
			continue
		}
		if len(page.Uploads)+len(page.Prefixes) == limit {
			page.More = true
			break
		}
		if grouped {
			page.Prefixes = append(page.Prefixes, prefix)
		} else {
			page.Uploads = append(page.Uploads, u)
		}
	}
	return page, nil
}

// allUploads gives the uploads that a page may show, in the order of pages.
func (g *Gateway) allUploads(ctx context.Context, r *UploadsRequest) ([]Upload, error) {
	var all []Upload
	err := g.eachUpload(ctx, func(u *upload) error {
		if u.Bucket == r.Bucket && strings.HasPrefix(u.Key, r.Prefix) && u.Key >= r.After {
			all = append(all, u.public())
		}
		return nil
	})
	slices.SortFunc(all, func(a, b Upload) int {
		return cmp.Or(strings.Compare(a.Key, b.Key), a.Started.Compare(b.Started), strings.Compare(a.ID, b.ID))
	})
	if r.After == "" {
		return all, err
	}
	// Those of the key After were given, up to the one AfterID, or all of them.
	first := slices.IndexFunc(all, func(u Upload) bool { return u.Key > r.After })
	if first < 0 {
		first = len(all)
	}
	if r.AfterID != "" {
		if i := slices.IndexFunc(all[:first], func(u Upload) bool { return u.ID == r.AfterID }); i >= 0 {
			first = i + 1
		}
	}
	return all[first:], err
}

// eachUpload calls f for every upload that goes on.
func (g *Gateway) eachUpload(ctx context.Context, f func(*upload) error) error {
	top, err := g.parts.look(ctx, g)
	if err != nil || top == 0 {
		return err
	}
	for after := ""; ; {
		page, err := g.fs.ReadDir(ctx, top, after, meta.MaxPageEntries)
		if errors.Is(err, syscall.ENOENT) {
			g.parts.lost()
			return nil
		}
		if err != nil {
			return err
		}
		for i := range page.Entries {
			e := &page.Entries[i]
			after = e.Name
			u, err := g.begun(ctx, e.Name, &e.Node)
			if err == nil && u != nil {
				err = f(u)
			}
			if err != nil {
				return err
			}
		}
		if !page.More {
			return nil
		}
	}
}
