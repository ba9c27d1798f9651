package redis

import (
	"context"
	"sync"
)

// slot is one of a session's places for a change under way. Its numbers rise by one
// per change; the server keeps the answer to the last one.
type slot struct {
	index  uint16
	number uint32
}

// slots hands out slots, the one given back last first: few slots in use means few
// replies kept.
type slots struct {
	tokens chan struct{} // one per slot out

	mu   sync.Mutex
	free []*slot
	made int
}

func newSlots(limit int) *slots { return &slots{tokens: make(chan struct{}, limit)} }

// get waits for a slot and gives its next number.
func (s *slots) get(ctx context.Context) (*slot, error) {
	select {
	case s.tokens <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var out *slot
	if n := len(s.free); n > 0 {
		out, s.free = s.free[n-1], s.free[:n-1]
	} else {
		out = &slot{index: uint16(s.made)} //nolint:gosec // below MaxSlots
		s.made++
	}
	out.number++
	return out, nil
}

func (s *slots) put(out *slot) {
	s.mu.Lock()
	s.free = append(s.free, out)
	s.mu.Unlock()
	<-s.tokens
}
