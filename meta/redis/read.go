package redis

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"syscall"

	goredis "github.com/redis/go-redis/v9"

	"mirrorfs/meta"
)

// reader implements meta.Reader, under the options of a View.
type reader struct {
	s    *server
	view meta.ViewOptions
}

// View implements meta.Engine.
func (e *Engine) View(opts meta.ViewOptions) meta.Reader { return reader{s: e.server, view: opts} }

// answer calls a function that answers a question. Only a View asks for positions.
func (r reader) answer(ctx context.Context, about meta.Error, function string, args ...any) (any, error) {
	if err := ctx.Err(); err != nil {
		return nil, r.s.fail(ctx, about, err)
	}
	least := ""
	if r.view.Observe != nil || !r.view.AtLeast.IsZero() {
		least = string(appendPosition(nil, r.view.AtLeast))
	}
	reply, err := r.s.invoke(ctx, &call{function: function, readOnly: true, args: append([]any{least}, args...)})
	if err != nil {
		return nil, r.s.fail(ctx, about, err)
	}
	if least == "" {
		return reply, nil
	}
	return r.observe(ctx, about, reply)
}

// observe takes position, answer and error apart.
func (r reader) observe(ctx context.Context, about meta.Error, reply any) (any, error) {
	parts, ok := reply.([]any)
	if !ok || len(parts) != 3 {
		return nil, r.s.fail(ctx, about, errMalformed)
	}
	at, _ := parts[0].(string)
	refused, _ := parts[2].(string)
	if len(at) != 12 {
		return nil, r.s.fail(ctx, about, errMalformed)
	}
	if r.view.Observe != nil {
		r.view.Observe(decodePosition(at))
	}
	if refused != "" {
		return nil, r.s.fail(ctx, about, refusal(refused))
	}
	return parts[1], nil
}

// refusal is an error that came inside an answer.
type refusal string

func (e refusal) Error() string { return string(e) }

// RedisError makes it what goredis.Error is: an answer of the server's.
func (refusal) RedisError() {}

var _ goredis.Error = refusal("")

// Lookup implements meta.Reader.
func (r reader) Lookup(ctx context.Context, parent meta.Ino, name string) (meta.Node, error) {
	about := meta.Error{Op: "lookup", Ino: parent, Name: name}
	errno := syscall.Errno(0)
	if name != "." && name != ".." {
		errno = meta.CheckName(name)
	}
	asked := name
	if errno != 0 {
		asked = "." // what is wrong with the directory comes first
	}
	reply, err := r.answer(ctx, about, "lookup", uint64(parent), asked)
	if err != nil {
		return meta.Node{}, err
	}
	if errno != 0 {
		about.Errno = errno
		return meta.Node{}, &about
	}
	n, err := decodeNode(reply)
	if err != nil {
		return meta.Node{}, r.s.fail(ctx, about, err)
	}
	return n, nil
}

// GetAttr implements meta.Reader.
func (r reader) GetAttr(ctx context.Context, ino meta.Ino) (meta.Node, error) {
	about := meta.Error{Op: "getattr", Ino: ino}
	reply, err := r.answer(ctx, about, "getattr", uint64(ino))
	if err != nil {
		return meta.Node{}, err
	}
	attr, err := decodeAttr(reply)
	if err != nil {
		return meta.Node{}, r.s.fail(ctx, about, err)
	}
	return meta.Node{Ino: ino, Attr: attr}, nil
}

// Resolve implements meta.Reader. Empty components are skipped.
func (r reader) Resolve(ctx context.Context, dir meta.Ino, path string) ([]meta.Node, error) {
	about := meta.Error{Op: "resolve", Ino: dir, Name: path}
	reply, err := r.answer(ctx, about, "resolve", uint64(dir), path)
	if err != nil {
		return nil, err
	}
	rows, err := texts(reply, 1)
	if err != nil || len(rows) == 0 {
		return nil, r.s.fail(ctx, about, errors.Join(err, errMalformed))
	}
	var nodes []meta.Node
	for _, row := range rows[1:] {
		n, err := decodeNode(row)
		if err != nil {
			return nil, r.s.fail(ctx, about, err)
		}
		nodes = append(nodes, n)
	}
	if rows[0] != "" {
		return nodes, r.s.fail(ctx, about, refusal(rows[0]))
	}
	return nodes, nil
}

// ReadDir implements meta.Reader.
func (r reader) ReadDir(ctx context.Context, dir meta.Ino, after string, limit int) (meta.Page, error) {
	about := meta.Error{Op: "readdir", Ino: dir}
	wanted := min(limit, meta.MaxPageEntries)
	if limit <= 0 {
		wanted = 1 // what is wrong with the directory comes first
	}
	reply, err := r.answer(ctx, about, "readdir", uint64(dir), after, wanted)
	if err != nil {
		return meta.Page{}, err
	}
	if limit <= 0 {
		about.Errno = syscall.EINVAL
		return meta.Page{}, &about
	}
	page, err := decodePage(reply, wanted)
	if err != nil {
		return meta.Page{}, r.s.fail(ctx, about, err)
	}
	return page, nil
}

// decodePage reads what the function readdir answers: whole pages, so in part more
// than wanted, and unsorted within each.
func decodePage(reply any, wanted int) (meta.Page, error) {
	rows, ok := reply.([]any)
	if !ok || len(rows)%3 != 1 {
		return meta.Page{}, errMalformed
	}
	more, _ := rows[0].(string)
	rows = rows[1:]
	type row struct {
		name          string
		number, value any
	}
	entries := make([]row, 0, len(rows)/3)
	for ; len(rows) > 0; rows = rows[3:] {
		name, _ := rows[0].(string)
		entries = append(entries, row{name: name, number: rows[1], value: rows[2]})
	}
	slices.SortFunc(entries, func(a, b row) int { return cmp.Compare(a.name, b.name) })
	page := meta.Page{More: more != "" || len(entries) > wanted}
	entries = entries[:min(len(entries), wanted)]
	page.Entries = make([]meta.Entry, len(entries))
	for i := range entries {
		number, ok := entries[i].number.(int64)
		if !ok {
			return meta.Page{}, errMalformed
		}
		attr, err := decodeAttr(entries[i].value)
		if err != nil {
			return meta.Page{}, err
		}
		page.Entries[i] = meta.Entry{Name: entries[i].name, Node: meta.Node{Ino: meta.Ino(number >> 4), Attr: attr}} //nolint:gosec // not negative
	}
	return page, nil
}

// ReadLink implements meta.Reader.
func (r reader) ReadLink(ctx context.Context, ino meta.Ino) (string, error) {
	reply, err := r.answer(ctx, meta.Error{Op: "readlink", Ino: ino}, "readlink", uint64(ino))
	target, _ := reply.(string)
	return target, err
}

// Extents implements meta.Reader. Of anything but a regular file it is EINVAL.
func (r reader) Extents(ctx context.Context, ino meta.Ino, first uint32, count int) (meta.Node, []meta.ChunkExtents, error) {
	about := meta.Error{Op: "extents", Ino: ino}
	wanted := max(0, min(count, meta.MaxExtentChunks))
	reply, err := r.answer(ctx, about, "extents", uint64(ino), first, wanted)
	if err != nil {
		return meta.Node{}, nil, err
	}
	if count <= 0 {
		about.Errno = syscall.EINVAL
		return meta.Node{}, nil, &about
	}
	n, lists, err := decodeExtents(ino, first, reply)
	if err != nil {
		return meta.Node{}, nil, r.s.fail(ctx, about, err)
	}
	return n, lists, nil
}

func decodeExtents(ino meta.Ino, first uint32, reply any) (meta.Node, []meta.ChunkExtents, error) {
	rows, ok := reply.([]any)
	if !ok || len(rows) == 0 {
		return meta.Node{}, nil, errMalformed
	}
	attr, err := decodeAttr(rows[0])
	if err != nil {
		return meta.Node{}, nil, err
	}
	n := meta.Node{Ino: ino, Attr: attr}
	var lists []meta.ChunkExtents
	if attr.Inline != nil && first == 0 {
		lists = append(lists, meta.ChunkExtents{Extents: []meta.Extent{*attr.Inline}})
	}
	for i, row := range rows[1:] {
		list, ok := row.(string)
		if !ok {
			continue
		}
		extents, err := meta.DecodeExtents([]byte(list))
		if err != nil {
			return meta.Node{}, nil, err
		}
		lists = append(lists, meta.ChunkExtents{Index: first + uint32(i), Extents: extents}) //nolint:gosec // at most MaxExtentChunks
	}
	return n, lists, nil
}

// GetXattr implements meta.Reader.
func (r reader) GetXattr(ctx context.Context, ino meta.Ino, name string) ([]byte, error) {
	reply, err := r.answer(ctx, meta.Error{Op: "getxattr", Ino: ino, Name: name}, "getxattr", uint64(ino), name)
	if err != nil {
		return nil, err
	}
	value, _ := reply.(string)
	return []byte(value), nil
}

// ListXattr implements meta.Reader.
func (r reader) ListXattr(ctx context.Context, ino meta.Ino) ([]string, error) {
	about := meta.Error{Op: "listxattr", Ino: ino}
	reply, err := r.answer(ctx, about, "listxattr", uint64(ino))
	if err != nil {
		return nil, err
	}
	names, err := texts(reply, 1)
	if err != nil {
		return nil, r.s.fail(ctx, about, err)
	}
	slices.SortFunc(names, strings.Compare)
	return names, nil
}

// StatFS implements meta.Reader.
func (r reader) StatFS(ctx context.Context) (meta.Usage, error) {
	about := meta.Error{Op: "statfs"}
	reply, err := r.answer(ctx, about, "statfs")
	if err != nil {
		return meta.Usage{}, err
	}
	text, _ := reply.(string)
	state, err := decodeState([]byte(text))
	if err != nil {
		return meta.Usage{}, r.s.fail(ctx, about, err)
	}
	return state.Usage, nil
}
