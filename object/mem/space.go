package mem

import "sync"

// Space holds buckets by name, so that everyone in a process who opens
// mem://name through it gets the same objects. The zero Space is empty and
// ready; it may be used concurrently.
type Space struct {
	mu     sync.Mutex
	stores map[string]*Store
}

// Store returns the bucket of that name, making it on first use. It lives as
// long as the Space.
func (s *Space) Store(name string) *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stores == nil {
		s.stores = make(map[string]*Store)
	}
	store, ok := s.stores[name]
	if !ok {
		store = New(name)
		s.stores[name] = store
	}
	return store
}
