package fuse

import "sync"

// handles gives numbers to open files or directories. The kernel brings the
// number with each request, and releases it after the last.
type handles[T any] struct {
	mu   sync.RWMutex
	list []*T     // handle - 1 is the index; nil when free
	free []uint64 // handles given back
}

// add gives v a handle, which is never 0.
func (h *handles[T]) add(v *T) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := len(h.free); n > 0 {
		handle := h.free[n-1]
		h.free = h.free[:n-1]
		h.list[handle-1] = v
		return handle
	}
	h.list = append(h.list, v)
	return uint64(len(h.list))
}

// get finds what has the handle, or nil.
func (h *handles[T]) get(handle uint64) *T {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if i := handle - 1; i < uint64(len(h.list)) {
		return h.list[i]
	}
	return nil
}

// remove takes the handle back and returns what had it, or nil.
func (h *handles[T]) remove(handle uint64) *T {
	h.mu.Lock()
	defer h.mu.Unlock()
	i := handle - 1
	if i >= uint64(len(h.list)) || h.list[i] == nil {
		return nil
	}
	v := h.list[i]
	h.list[i] = nil
	h.free = append(h.free, handle)
	return v
}
