package gateway

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"syscall"
	"time"

	"mirrorfs/meta"
)

// An upload in parts is a hidden directory, with what was said at its start in an attribute; its parts are
// files in it, named by their numbers.

// started is what the attribute of an upload's directory holds.
type started struct {
	Described
	Bucket  string    `json:"bucket"`
	Key     string    `json:"key"`
	Started time.Time `json:"started"`
	Sum     *Checksum `json:"sum,omitempty"`
}

// upload is an upload that goes on.
type upload struct {
	started
	id  string
	dir meta.Ino
}

func (u *upload) public() Upload {
	return Upload{UploadName: UploadName{Name: Name{Bucket: u.Bucket, Key: u.Key}, ID: u.id}, Started: u.Started, Checksum: u.Sum}
}

// idBytes is how long the random part of an upload's ID is; in it there are twice as many hexadecimal digits.
const idBytes = 16

// StartUpload implements API.
func (g *Gateway) StartUpload(ctx context.Context, r StartRequest) (string, error) {
	id, err := g.startUpload(ctx, &r)
	if err != nil {
		return "", fail("start upload", r.Name, err)
	}
	return id, nil
}

func (g *Gateway) startUpload(ctx context.Context, r *StartRequest) (string, error) {
	pl, err := g.mayPut(ctx, r.Name, &Conditions{})
	if err != nil {
		return "", err
	}
	if pl.dir {
		return "", refuse(DirectoryHasData)
	}
	b, err := json.Marshal(started{Described: r.Described, Bucket: r.Bucket, Key: r.Key, Started: g.opts.Now().UTC(), Sum: r.Checksum})
	if err != nil {
		return "", fmt.Errorf("encode an upload: %w", err)
	}
	if len(b) > meta.MaxXattrValueBytes {
		return "", refuse(MetadataTooLarge)
	}
	var random [idBytes]byte
	_, _ = rand.Read(random[:]) // never fails
	id := hex.EncodeToString(random[:])
	for try := 0; ; try++ {
		top, err := g.parts.get(ctx, g)
		if err != nil {
			return "", err
		}
		dir, err := g.mkdir(ctx, top, id, 0o700)
		if errors.Is(err, syscall.ENOENT) && try == 0 {
			g.parts.lost()
			continue
		}
		if err == nil {
			err = g.fs.SetXattr(ctx, meta.SetXattr{Ino: dir, Name: xattrName, Value: b})
		}
		return id, err
	}
}

// upload finds an upload: NoSuchUpload when there is none, or one of another object.
func (g *Gateway) upload(ctx context.Context, n UploadName) (*upload, error) {
	if raw, err := hex.DecodeString(n.ID); err != nil || len(raw) != idBytes {
		return nil, refuse(NoSuchUpload)
	}
	if _, err := g.bucketDir(ctx, n.Bucket); err != nil {
		return nil, err
	}
	top, err := g.parts.look(ctx, g)
	if err != nil {
		return nil, err
	}
	if top == 0 {
		return nil, refuse(NoSuchUpload)
	}
	dir, err := g.fs.Lookup(ctx, top, n.ID)
	if errors.Is(err, syscall.ENOENT) {
		g.parts.lost() // perhaps it is the directory above that is gone
		return nil, refuse(NoSuchUpload)
	}
	if err != nil {
		return nil, err
	}
	u, err := g.begun(ctx, n.ID, &dir)
	if err == nil && (u == nil || u.Bucket != n.Bucket || u.Key != n.Key) {
		err = refuse(NoSuchUpload)
	}
	return u, err
}

// begun reads what was said at the start of an upload; nil when it has not begun yet, or is gone.
func (g *Gateway) begun(ctx context.Context, id string, dir *meta.Node) (*upload, error) {
	b, err := g.fs.GetXattr(ctx, dir.Ino, xattrName)
	if errors.Is(err, syscall.ENODATA) || errors.Is(err, syscall.ENOENT) {
		return nil, nil //nolint:nilnil // there is none
	}
	if err != nil {
		return nil, err
	}
	u := &upload{id: id, dir: dir.Ino}
	if json.Unmarshal(b, &u.started) != nil {
		return nil, nil //nolint:nilnil // somebody else's
	}
	return u, nil
}

// partName is the name of a part's file: names are in the order of numbers.
func partName(number int) string { return fmt.Sprintf("%05d", number) }

// PutPart implements API.
func (g *Gateway) PutPart(ctx context.Context, r PartRequest) (Part, error) {
	p, err := g.putPart(ctx, r.UploadName, r.Number, func(t *temp, s *stored) error {
		err := t.fill(ctx, &r.Content)
		if err == nil && r.Checksum != nil {
			s.Sum = r.Checksum()
		}
		return err
	})
	if err != nil {
		return Part{}, fail("put part", r.Name, err)
	}
	return p, nil
}

// CopyPart implements API.
func (g *Gateway) CopyPart(ctx context.Context, r CopyPartRequest) (Part, error) {
	p, err := g.putPart(ctx, r.UploadName, r.Number, func(t *temp, s *stored) error {
		src, kept, err := g.find(ctx, r.From)
		if err != nil {
			return err
		}
		was := kept.info(src.node())
		if err := r.source(was.ETag, was.Modified); err != nil {
			return err
		}
		off, n := int64(0), was.Size
		if r.Range != "" {
			var ok bool
			off, n, ok, err = parseRange(r.Range, was.Size)
			if end, _ := lastOf(r.Range); err != nil || !ok || end >= was.Size {
				return refusef(InvalidArgument, "the range is bytes=first-last within an object of %d bytes", was.Size)
			}
		}
		if n > MaxPutBytes {
			return refuse(TooLarge)
		}
		was, err = t.clone(ctx, src, &kept, off, n, 0)
		if s.Sum = was.Checksum; s.Sum != nil && s.Sum.Composite {
			s.Sum = nil
		}
		return err
	})
	if err != nil {
		return Part{}, fail("copy part", r.Name, err)
	}
	return p, nil
}

// lastOf is the last byte that a range names; false when it names none.
func lastOf(header string) (int64, bool) {
	for i := len(header) - 1; i >= 0; i-- {
		if header[i] == '-' {
			v, err := strconv.ParseInt(header[i+1:], 10, 64)
			return v, err == nil
		}
	}
	return 0, false
}

// putPart makes a part of what fill writes.
func (g *Gateway) putPart(ctx context.Context, n UploadName, number int, fill func(*temp, *stored) error) (Part, error) {
	if number < 1 || number > MaxParts {
		return Part{}, refusef(InvalidArgument, "part numbers are 1 to %d", MaxParts)
	}
	u, err := g.upload(ctx, n)
	if err != nil {
		return Part{}, err
	}
	t, err := g.newTemp(ctx)
	if err != nil {
		return Part{}, err
	}
	defer t.discard(ctx)
	var s stored
	if err := fill(t, &s); err != nil {
		return Part{}, err
	}
	info, err := t.finish(ctx, &s)
	if err != nil {
		return Part{}, err
	}
	err = g.fs.Rename(ctx, meta.Rename{OldParent: t.dir, OldName: t.name, NewParent: u.dir, NewName: partName(number)})
	if errors.Is(err, syscall.ENOENT) {
		err = refuse(NoSuchUpload) // ended meanwhile
	}
	if err != nil {
		return Part{}, err
	}
	t.gone = true
	return Part{Number: number, Size: info.Size, Modified: info.Modified, ETag: info.ETag, Checksum: info.Checksum}, nil
}

// Abort implements API.
func (g *Gateway) Abort(ctx context.Context, n UploadName) error {
	u, err := g.upload(ctx, n)
	if err == nil {
		err = g.end(ctx, u)
	}
	if err != nil {
		return fail("abort", n.Name, err)
	}
	return nil
}

// end has an upload be over: its directory goes away in one step, what is in it behind.
func (g *Gateway) end(ctx context.Context, u *upload) error {
	top, err := g.parts.get(ctx, g)
	if err != nil {
		return err
	}
	tmp, err := g.tmp.get(ctx, g)
	if err != nil {
		return err
	}
	err = g.fs.Rename(ctx, meta.Rename{OldParent: top, OldName: u.id, NewParent: tmp, NewName: endedPrefix + u.id})
	if errors.Is(err, syscall.ENOENT) {
		err = refuse(NoSuchUpload)
	}
	if err == nil {
		g.wake()
	}
	return err
}
