package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"syscall"
	"time"

	"mirrorfs/meta"
)

// xattrName holds what is kept of an object beside its bytes, as JSON. A directory with it is an object.
const xattrName = "user.s3"

// stored is that.
type stored struct {
	Described
	// Of is the ETag of the content that Sum and Parts speak of: writing to the file makes them void.
	Of    string    `json:"of,omitempty"`
	Sum   *Checksum `json:"sum,omitempty"`
	Parts []run     `json:"parts,omitempty"`
	// Upload is the upload that became this object, so that completing it again gives the same answer.
	Upload string `json:"upload,omitempty"`

	there bool // the attribute exists
}

// run is some parts of one size that follow each other.
type run struct {
	Count int   `json:"n"`
	Size  int64 `json:"size"`
}

// stored asks for what is kept beside an object's bytes: no round trip when there is surely nothing.
func (g *Gateway) stored(ctx context.Context, n *meta.Node) (stored, error) {
	var s stored
	if !n.Attr.HasXattrs {
		return s, nil
	}
	b, err := g.fs.GetXattr(ctx, n.Ino, xattrName)
	if errors.Is(err, syscall.ENODATA) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	s.there = true
	if err := json.Unmarshal(b, &s); err != nil {
		// Somebody else wrote it: the object's bytes are as good as ever.
		return stored{there: true}, nil
	}
	return s, nil
}

// empty reports whether there is nothing to keep.
func (s *stored) empty() bool {
	return s.Headers == Headers{} && len(s.Metadata) == 0 && len(s.Tags) == 0 && s.Sum == nil && len(s.Parts) == 0 && s.Upload == ""
}

// keep sets what is kept of an inode.
func (g *Gateway) keep(ctx context.Context, ino meta.Ino, s *stored) error {
	b, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encode an object's attributes: %w", err)
	}
	if len(b) > meta.MaxXattrValueBytes {
		return refuse(MetadataTooLarge)
	}
	return g.fs.SetXattr(ctx, meta.SetXattr{Ino: ino, Name: xattrName, Value: b})
}

// info says what is known of an object that has a node and what was kept of it.
func (s *stored) info(n *meta.Node) Info {
	i := Info{Described: s.Described, Size: int64(n.Attr.Size), Modified: time.Unix(0, n.Attr.Mtime), ETag: etagOf(n)}
	if n.Attr.IsDir() {
		i.Size = 0
	}
	if s.Of == i.ETag {
		i.Checksum = s.Sum
		for _, r := range s.Parts {
			i.Parts += r.Count
		}
	}
	return i
}

// part gives the range of a part, from 1; ok is false when there is none.
func (s *stored) part(number int) (off, n int64, ok bool) {
	for _, r := range s.Parts {
		if number <= r.Count {
			return off + int64(number-1)*r.Size, r.Size, true
		}
		number -= r.Count
		off += int64(r.Count) * r.Size
	}
	return 0, 0, false
}
