package redis

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"syscall"

	goredis "github.com/redis/go-redis/v9"

	"mirrorfs/meta"
)

// What one call writes at most: some milliseconds of the server's time.
const (
	maxApplyRecords = 500
	maxApplyBytes   = 512 << 10
	maxLoadBytes    = 256 << 10
)

// Reset implements meta.Replica. It may be repeated when it fails half way; until it
// has succeeded the replica is not to be read.
func (e *Engine) Reset(ctx context.Context, v meta.Volume, from meta.State) error {
	about := meta.Error{Op: "reset", Name: e.volume}
	settings, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("reset: %w", err)
	}
	if len(from.Chain) != len(meta.EmptyChain) {
		return fmt.Errorf("reset: checksum %q of the source's state: %w", from.Chain, errMalformed)
	}
	if _, err := e.invoke(ctx, &call{function: "reset_begin"}); err != nil {
		return e.fail(ctx, about, err)
	}
	if err := e.ask(ctx, "clear", e.clear); err != nil {
		return e.fail(ctx, about, err)
	}
	if _, err := e.invoke(ctx, &call{function: "reset_end", args: []any{appendState(nil, &from), settings}}); err != nil {
		return e.fail(ctx, about, err)
	}
	return e.register(ctx)
}

// clear removes all keys of the volume but its state, and what is true of this site only.
func (e *Engine) clear(ctx context.Context) error {
	var node goredis.Cmdable = e.client()
	if cluster, ok := e.client().(*goredis.ClusterClient); ok {
		var err error
		if node, err = cluster.MasterForKey(ctx, e.key); err != nil {
			return err
		}
	}
	stays := map[string]bool{e.key: true, e.prefix() + "local": true, e.prefix() + "m": true}
	claims := e.prefix() + "w"
	for cursor := uint64(0); ; {
		keys, next, err := node.Scan(ctx, cursor, escapeGlob(e.prefix())+"*", 1000).Result()
		if err != nil {
			return err
		}
		var gone []string
		for _, key := range keys {
			if !stays[key] && !strings.HasPrefix(key, claims) {
				gone = append(gone, key)
			}
		}
		if len(gone) > 0 {
			if err := node.Unlink(ctx, gone...).Err(); err != nil {
				return err
			}
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

// escapeGlob makes a pattern of Redis that matches a text.
func escapeGlob(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`).Replace(s)
}

// Load implements meta.Replica.
func (e *Engine) Load(ctx context.Context, effects []byte) error {
	about := meta.Error{Op: "load", Name: e.volume}
	rows, err := meta.DecodeEffects(effects)
	if err != nil {
		return e.fail(ctx, about, err)
	}
	var part []byte
	for i := range rows {
		part = meta.AppendEffect(part, &rows[i])
		if len(part) < maxLoadBytes && i+1 < len(rows) {
			continue
		}
		if _, err := e.invoke(ctx, &call{function: "load", args: []any{part}}); err != nil {
			return e.fail(ctx, about, err)
		}
		part = part[:0]
	}
	return nil
}

// Apply implements meta.Replica. A large batch goes in several calls, each of which is
// one step; all entries are checked before the first.
func (e *Engine) Apply(ctx context.Context, from meta.State, entries []meta.LogEntry, target meta.Position) (meta.State, error) {
	about := meta.Error{Op: "apply", Name: e.volume}
	wrong := checkEntries(&from, entries)
	if wrong != nil {
		entries = nil // but what is wrong with the replica's own state comes first
	}
	for state := from; ; {
		n := batch(entries)
		goal := target
		if wrong != nil {
			goal = meta.Position{}
		}
		next, err := e.apply(ctx, &state, entries[:n], goal)
		if err != nil {
			return state, e.fail(ctx, about, err)
		}
		state, entries = next, entries[n:]
		if wrong != nil {
			about.Errno, about.Err = syscall.EIO, wrong
			return state, &about
		}
		if len(entries) == 0 {
			return state, nil
		}
	}
}

// BecomeSource makes a replica that was loaded, and is not complete by itself
// (meta.RoleBootstrapping), a source, if it stands at the state given: meta.ErrMoved
// otherwise. No source may be left whose changes it lacks. It may be repeated.
func (e *Engine) BecomeSource(ctx context.Context, at meta.State) error {
	place := append(appendPosition(nil, at.Position), at.Chain...)
	if _, err := e.invoke(ctx, &call{function: "become_source", args: []any{place}}); err != nil {
		return e.fail(ctx, meta.Error{Op: "become_source", Name: e.volume}, err)
	}
	return nil
}

// batch is how many entries one call takes.
func batch(entries []meta.LogEntry) int {
	bytes := 0
	for i := range entries {
		if bytes += len(entries[i].Raw); i == maxApplyRecords || bytes > maxApplyBytes && i > 0 {
			return i
		}
	}
	return len(entries)
}

// checkEntries says why entries cannot follow a state.
func checkEntries(from *meta.State, entries []meta.LogEntry) error {
	at, chain := from.Position, from.Chain
	for i := range entries {
		entry := &entries[i]
		if entry.Position.Seq != at.Seq+1 || entry.Position.Epoch < at.Epoch {
			return fmt.Errorf("%w: %s follows %s", meta.ErrGap, entry.Position, at)
		}
		next, ok := meta.CheckChain(chain, entry.Raw)
		if !ok {
			return fmt.Errorf("%w: checksum of record %s", meta.ErrDiverged, entry.Position)
		}
		if _, err := meta.DecodeRecord(entry.Raw); err != nil {
			return fmt.Errorf("record %s: %w", entry.Position, err)
		}
		at, chain = entry.Position, next
	}
	return nil
}

// apply makes one call.
func (e *Engine) apply(ctx context.Context, from *meta.State, entries []meta.LogEntry, target meta.Position) (meta.State, error) {
	var token [8]byte
	if _, err := rand.Read(token[:]); err != nil {
		return meta.State{}, err
	}
	args := make([]any, 0, 3+2*len(entries))
	args = append(args, append(appendPosition(nil, from.Position), from.Chain...), appendPosition(nil, target), token[:])
	for i := range entries {
		args = append(args, appendPosition(nil, entries[i].Position), entries[i].Raw)
	}
	reply, err := e.invoke(ctx, &call{function: "apply", args: args})
	if err != nil {
		return meta.State{}, err
	}
	text, _ := reply.(string)
	return decodeState([]byte(text))
}

// applyField of {v}:local is the token of the last call that applied something.
const applyField = "apply"

// SetLocal implements meta.Replica. An empty value deletes.
func (e *Engine) SetLocal(ctx context.Context, values map[string]string) error {
	var set []any
	var gone []string
	for name, value := range values {
		if value == "" {
			gone = append(gone, name)
		} else {
			set = append(set, name, value)
		}
	}
	err := e.ask(ctx, "set_local", func(ctx context.Context) error {
		_, err := e.client().TxPipelined(ctx, func(p goredis.Pipeliner) error {
			if len(set) > 0 {
				p.HSet(ctx, e.prefix()+"local", set...)
			}
			if len(gone) > 0 {
				p.HDel(ctx, e.prefix()+"local", gone...)
			}
			return nil
		})
		return err
	})
	if err != nil {
		return e.fail(ctx, meta.Error{Op: "set_local", Name: e.volume}, err)
	}
	return nil
}

// Local implements meta.Replica.
func (e *Engine) Local(ctx context.Context) (map[string]string, error) {
	values, err := e.hgetall(ctx, e.prefix()+"local")
	if err != nil {
		return nil, e.fail(ctx, meta.Error{Op: "local", Name: e.volume}, err)
	}
	delete(values, applyField)
	delete(values, archiveField)
	return values, nil
}
