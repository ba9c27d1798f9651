package redis

import (
	"context"
	"crypto/sha1" //nolint:gosec // see compactArgs
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"syscall"
	"time"

	"mirrorfs/meta"
)

// Change implements meta.Engine.
func (e *Engine) Change(ctx context.Context, c meta.Change) (meta.Result, error) {
	about := subject(c)
	if err := ctx.Err(); err != nil {
		about.Errno, about.Err = syscall.EINTR, err
		return meta.Result{}, &about
	}
	if errno := meta.Check(c); errno != 0 {
		about.Errno = errno
		return meta.Result{}, &about
	}
	now := e.opts.now()
	function, args, err := e.arguments(c, now)
	if err != nil {
		return meta.Result{}, e.fail(ctx, about, err)
	}
	return e.change(ctx, about, c.Op(), now, e.current(), function, args)
}

// change makes a change under a session.
func (e *Engine) change(ctx context.Context, about meta.Error, op meta.Op, now time.Time, session meta.SessionID, function string, args []any) (meta.Result, error) {
	place := &slot{}
	if session != 0 {
		var err error
		if place, err = e.slots.get(ctx); err != nil {
			return meta.Result{}, e.fail(ctx, about, err)
		}
		defer e.slots.put(place)
	}
	reply, err := e.invoke(ctx, &call{function: function, head: newHead(op, now, session, place), args: args})
	if err != nil {
		return meta.Result{}, e.fail(ctx, about, err)
	}
	text, _ := reply.(string)
	if len(text) < numberBytes {
		return meta.Result{}, e.fail(ctx, about, errMalformed)
	}
	res, err := meta.DecodeReply([]byte(text[numberBytes:]))
	if err != nil {
		return meta.Result{}, e.fail(ctx, about, err)
	}
	if res.Position.IsZero() {
		res.Effects = nil
	}
	return res, nil
}

// subject says what an error of a change is about.
func subject(c meta.Change) meta.Error {
	if c == nil {
		return meta.Error{Op: "change"}
	}
	about := meta.Error{Op: c.Op().String()}
	switch c := c.(type) {
	case meta.Make:
		about.Ino, about.Name = c.Parent, c.Name
	case meta.Link:
		about.Ino, about.Name = c.Ino, c.Name
	case meta.Unlink:
		about.Ino, about.Name = c.Parent, c.Name
	case meta.Rmdir:
		about.Ino, about.Name = c.Parent, c.Name
	case meta.Rename:
		about.Ino, about.Name = c.OldParent, c.OldName
	case meta.SetAttr:
		about.Ino = c.Ino
	case meta.Commit:
		about.Ino = c.Ino
	case meta.Clone:
		about.Ino = c.Dst
	case meta.Compact:
		about.Ino = c.Ino
	case meta.SetXattr:
		about.Ino, about.Name = c.Ino, c.Name
	case meta.RemoveXattr:
		about.Ino, about.Name = c.Ino, c.Name
	case meta.SetQuota:
		about.Ino = c.Dir
	case meta.Count:
		about.Ino = c.Dir
	case meta.Purge:
		about.Ino, about.Name = c.Orphan.Ino, c.Orphan.Name
	case meta.Restore:
		about.Ino, about.Name = c.Orphan.Ino, c.Name
	}
	return about
}

// arguments gives the function of a change and its arguments after the head.
func (e *Engine) arguments(c meta.Change, now time.Time) (string, []any, error) {
	switch c := c.(type) {
	case meta.Make:
		return "make", makeArgs(&c, now), nil
	case meta.Link:
		return "link", []any{uint64(c.Ino), uint64(c.Parent), c.Name}, nil
	case meta.Unlink:
		return "unlink", []any{uint64(c.Parent), c.Name}, nil
	case meta.Rmdir:
		return "rmdir", []any{uint64(c.Parent), c.Name}, nil
	case meta.Rename:
		return "rename", []any{uint64(c.OldParent), c.OldName, uint64(c.NewParent), c.NewName, uint32(c.Flags)}, nil
	case meta.SetAttr:
		return "setattr", setAttrArgs(&c), nil
	case meta.Commit:
		return "commit", commitArgs(&c), nil
	case meta.Clone:
		return "clone", cloneArgs(&c), nil
	case meta.Compact:
		return "compact", compactArgs(&c), nil
	case meta.SetXattr:
		return "setxattr", setXattrArgs(&c), nil
	case meta.RemoveXattr:
		return "removexattr", []any{uint64(c.Ino), c.Name}, nil
	case meta.Reserve:
		return "reserve", []any{c.Count}, nil
	case meta.Purge:
		return "purge", append(orphanArgs(c.Orphan), e.lifeClock()), nil
	case meta.Restore:
		return "restore", append(orphanArgs(c.Orphan), uint64(c.Parent), c.Name), nil
	case meta.Reclaim:
		return "reclaim", reclaimArgs(&c), nil
	case meta.EndOtherSession:
		force := 0
		if c.Force {
			force = 1
		}
		return "session_end", []any{sessionBytes(c.ID), force, e.lifeClock()}, nil
	case meta.SetQuota:
		b := append48([]byte{byte(c.Limit.Bytes >> 48)}, c.Limit.Bytes)
		return "quota", []any{uint64(c.Dir), append48(b, c.Limit.Inodes)}, nil
	case meta.Count:
		return "count", []any{uint64(c.Dir)}, nil
	case meta.Repair:
		return "repair", repairArgs(&c), nil
	case meta.Settings:
		text, err := json.Marshal(c.Volume)
		return "settings", []any{text}, err
	default:
		return "", nil, fmt.Errorf("change %T: %w", c, syscall.ENOSYS)
	}
}

func makeArgs(c *meta.Make, now time.Time) []any {
	ns := now.UnixNano()
	a := meta.Attr{
		Mode: c.Permitted(), Nlink: 1, UID: c.UID, GID: c.GID,
		Atime: ns, Mtime: ns, Ctime: ns, Parent: c.Parent,
	}
	switch a.Type() {
	case meta.TypeDir:
		a.Nlink = 2
	case meta.TypeSymlink:
		a.Size = uint64(len(c.Target))
	case meta.TypeChar, meta.TypeBlock:
		a.Rdev = c.Rdev
	}
	args := []any{uint64(c.Parent), c.Name, meta.AppendInode(nil, &a), c.Mode & 0o777}
	if a.Type() == meta.TypeSymlink {
		args = append(args, c.Target)
	}
	return args
}

func setXattrArgs(c *meta.SetXattr) []any {
	clears := 0
	if c.ClearSetGID {
		clears = 1
	}
	return []any{uint64(c.Ino), c.Name, c.Value, int(c.Mode), clears}
}

func setAttrArgs(c *meta.SetAttr) []any {
	b := binary.BigEndian.AppendUint16(nil, uint16(c.Mode&0o7777)) //nolint:gosec // masked
	b = binary.BigEndian.AppendUint32(b, c.UID)
	b = binary.BigEndian.AppendUint32(b, c.GID)
	b = append48(b, c.Size)
	b = binary.BigEndian.AppendUint64(b, uint64(c.Atime)) //nolint:gosec // signed, by its bits
	b = binary.BigEndian.AppendUint64(b, uint64(c.Mtime)) //nolint:gosec // signed, by its bits
	return []any{uint64(c.Ino), uint32(c.Set), b}
}

func commitArgs(c *meta.Commit) []any {
	end := c.Size
	args := make([]any, 2, 2+2*len(c.Chunks))
	for i := range c.Chunks {
		chunk := &c.Chunks[i]
		for _, e := range chunk.Extents {
			if e.Slice != 0 || c.Append {
				end = max(end, uint64(chunk.Index)*meta.ChunkBytes+uint64(e.Pos)+uint64(e.Len))
			}
		}
		args = append(args, chunk.Index, meta.AppendExtents(nil, chunk.Extents))
	}
	b := append48(nil, end)
	b = binary.BigEndian.AppendUint64(b, uint64(c.Mtime)) //nolint:gosec // signed, by its bits
	b = binary.BigEndian.AppendUint64(b, uint64(c.Atime)) //nolint:gosec // signed, by its bits
	options := clearSetID(c.ClearSetID)
	if c.Append {
		options |= 8
	}
	args[0], args[1] = uint64(c.Ino), append(b, options)
	return args
}

func cloneArgs(c *meta.Clone) []any {
	b := append48(append48(append48(nil, c.SrcOff), c.DstOff), c.Len)
	return []any{uint64(c.Src), uint64(c.Dst), append(b, clearSetID(c.ClearSetID))}
}

// compactArgs says by a checksum what the list must begin with.
func compactArgs(c *meta.Compact) []any {
	sum := sha1.Sum(meta.AppendExtents(nil, c.Old)) //nolint:gosec // against mistakes, and the only hash Redis offers to functions
	return []any{uint64(c.Ino), c.Index, len(c.Old), hex.EncodeToString(sum[:]), meta.AppendExtents(nil, c.New)}
}

// clearSetID is the byte of options.
func clearSetID(clears bool) byte {
	if clears {
		return 1
	}
	return 0
}

func repairArgs(c *meta.Repair) []any {
	var expect, rows, free []byte
	for i := range c.Expect {
		expect = meta.AppendEffect(expect, &c.Expect[i])
	}
	for i := range c.Effects {
		rows = meta.AppendEffect(rows, &c.Effects[i])
	}
	for _, s := range c.Free {
		free = binary.BigEndian.AppendUint32(append(append48(free, s.ID), s.Home), s.Size)
	}
	return []any{expect, rows, free, c.Bytes, c.Inodes, uint64(c.NextIno), c.NextSlice}
}

func sessionBytes(id meta.SessionID) []byte { return binary.BigEndian.AppendUint64(nil, uint64(id)) }

func append48(b []byte, n uint64) []byte {
	return append(b, byte(n>>40), byte(n>>32), byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}
