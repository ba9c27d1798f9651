package replicate

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"mirrorfs/meta"
)

// State is how far a copying is, as it is kept among the facts of its site.
type State struct {
	// Bucket and Subtree say of which copying: of another one, nothing is known.
	Bucket  string `json:"bucket"`
	Subtree string `json:"subtree,omitempty"`
	// Position is up to where all is there; zero until the first look at all rows is
	// over and all that it found is copied.
	Position meta.Position `json:"position"`
	// PendingObjects and PendingBytes are what is known to be missing: all of it, as long
	// as that is less than Options.WindowObjects.
	PendingObjects uint64 `json:"pending_objects,omitempty"`
	PendingBytes   uint64 `json:"pending_bytes,omitempty"`
	// Reason says what is in the way; empty when nothing is.
	Reason string `json:"reason,omitempty"`
}

// StateOf reads a state from the facts of a site; false when there is none.
func StateOf(local map[string]string, name string) (State, bool, error) {
	var s State
	text := local[name]
	if text == "" {
		return s, false, nil
	}
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return s, false, fmt.Errorf("state of the copying %s: %w", name, err)
	}
	return s, true, nil
}

// saveTimeout bounds the keeping of a state.
const saveTimeout = 5 * time.Second

func (r *Replicator) state() State {
	s := r.window.state()
	s.Bucket, s.Subtree = r.opts.To.String(), r.opts.Subtree
	if s.Reason == "" {
		s.Reason = r.trouble()
	}
	return s
}

// saves keeps the state until ctx ends, and then a last time.
func (r *Replicator) saves(ctx context.Context) {
	tick := time.NewTicker(r.opts.SaveInterval)
	defer tick.Stop()
	var last State
	for {
		if s := r.state(); s != last && r.save(ctx, s) {
			last = s
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			r.save(context.WithoutCancel(ctx), r.state())
			return
		}
	}
}

func (r *Replicator) save(ctx context.Context, s State) bool {
	ctx, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	text, err := json.Marshal(s)
	if err == nil {
		err = r.opts.Site.SetLocal(ctx, map[string]string{r.opts.Name: string(text)})
	}
	if err != nil {
		r.log.DebugContext(ctx, "the state of a copying was not kept", errAttr(err))
	}
	return err == nil
}
