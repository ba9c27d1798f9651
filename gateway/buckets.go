package gateway

import (
	"context"
	"errors"
	"syscall"
	"time"

	"mirrorfs/meta"
)

// Buckets implements API.
func (g *Gateway) Buckets(ctx context.Context) ([]Bucket, error) {
	if g.single() {
		b, err := g.Bucket(ctx, g.opts.Bucket)
		return []Bucket{b}, err
	}
	var all []Bucket
	for after := ""; ; {
		page, err := g.fs.ReadDir(ctx, g.fs.Root(), after, meta.MaxPageEntries)
		if err != nil {
			return nil, fail("buckets", Name{}, err)
		}
		for i := range page.Entries {
			e := &page.Entries[i]
			if e.Node.Attr.IsDir() && isBucketName(e.Name) {
				all = append(all, bucket(e.Name, &e.Node))
			}
			after = e.Name
		}
		if !page.More {
			return all, nil
		}
	}
}

func bucket(name string, n *meta.Node) Bucket {
	return Bucket{Name: name, Created: time.Unix(0, n.Attr.Ctime)}
}

// Bucket implements API.
func (g *Gateway) Bucket(ctx context.Context, name string) (Bucket, error) {
	n, err := g.bucketDir(ctx, name)
	if err != nil {
		return Bucket{}, fail("bucket", Name{Bucket: name}, err)
	}
	return bucket(name, &n), nil
}

// bucketDir gives the directory of a bucket.
func (g *Gateway) bucketDir(ctx context.Context, name string) (meta.Node, error) {
	if g.single() {
		if name != g.opts.Bucket {
			return meta.Node{}, refuse(NoSuchBucket)
		}
		return g.fs.GetAttr(ctx, g.fs.Root())
	}
	if !isBucketName(name) {
		return meta.Node{}, refuse(NoSuchBucket)
	}
	n, err := g.fs.Lookup(ctx, g.fs.Root(), name)
	if errors.Is(err, syscall.ENOENT) || err == nil && !n.Attr.IsDir() {
		return meta.Node{}, refuse(NoSuchBucket)
	}
	return n, err
}

// MakeBucket implements API.
func (g *Gateway) MakeBucket(ctx context.Context, name string) error {
	var err error
	switch {
	case !isBucketName(name):
		err = refuse(InvalidBucketName)
	case g.single() && name == g.opts.Bucket:
		err = refuse(BucketExists)
	case g.single():
		err = refusef(NotImplemented, "the volume is one bucket, %s", g.opts.Bucket)
	default:
		_, err = g.fs.Make(ctx, meta.Make{
			Parent: g.fs.Root(), Name: name, Mode: meta.TypeDir | g.opts.DirMode, UID: g.opts.UID, GID: g.opts.GID,
		})
		if errors.Is(err, syscall.EEXIST) {
			err = refuse(BucketExists)
		}
	}
	if err != nil {
		return fail("make bucket", Name{Bucket: name}, err)
	}
	return nil
}

// RemoveBucket implements API. A directory that is no object keeps a bucket from being empty, too.
func (g *Gateway) RemoveBucket(ctx context.Context, name string) error {
	err := g.removeBucket(ctx, name)
	if errors.Is(err, syscall.ENOTEMPTY) {
		err = refuse(BucketNotEmpty)
	}
	if err != nil {
		return fail("remove bucket", Name{Bucket: name}, err)
	}
	return nil
}

func (g *Gateway) removeBucket(ctx context.Context, name string) error {
	if _, err := g.bucketDir(ctx, name); err != nil {
		return err
	}
	if g.single() {
		return refusef(NotImplemented, "the volume is the bucket")
	}
	return g.fs.Rmdir(ctx, meta.Rmdir{Parent: g.fs.Root(), Name: name})
}
