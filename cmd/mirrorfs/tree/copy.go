package tree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"
)

// Options of Copy and Compare.
type Options struct {
	// Workers is how many files are worked on at once; 0 means 4.
	Workers int
	// Count, if not nil, is kept up to date while the work goes on.
	Count *Count
}

func (o Options) withDefaults() Options {
	if o.Workers <= 0 {
		o.Workers = 4
	}
	if o.Count == nil {
		o.Count = &Count{}
	}
	return o
}

// Copy copies the tree at src to dst, which must not exist: files, directories
// and symbolic links, with permissions. Anything else is an error. Each file
// is closed with its error checked, so that when Copy returns nil everything
// is as durable as dst's file system makes a closed file.
func Copy(ctx context.Context, dst, src string, opts Options) error {
	opts = opts.withDefaults()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(opts.Workers)
	err := filepath.WalkDir(src, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		rel, err := filepath.Rel(src, path)
		if err != nil {
			return err
		}
		to := filepath.Join(dst, rel)
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch d.Type() {
		case fs.ModeDir:
			opts.Count.Dirs.Add(1)
			return os.Mkdir(to, info.Mode().Perm()|0o700)
		case fs.ModeSymlink:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			opts.Count.Links.Add(1)
			return os.Symlink(target, to)
		case 0:
			g.Go(func() error { return copyFile(to, path, info.Mode().Perm(), opts.Count) })
			return nil
		default:
			return fmt.Errorf("%s: cannot copy a %v", path, d.Type())
		}
	})
	return errors.Join(err, g.Wait())
}

func copyFile(dst, src string, perm fs.FileMode, count *Count) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(dst, os.O_CREATE|os.O_EXCL|os.O_WRONLY, perm)
	if err != nil {
		return err
	}
	n, err := io.Copy(out, in)
	if err := errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("copy %s: %w", src, err)
	}
	count.Files.Add(1)
	count.Bytes.Add(n)
	return nil
}
