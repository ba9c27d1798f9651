package metatest

import "testing"

// scope is a test within a test: what is cleaned up at its end is cleaned up by
// end. Looking for a short list of steps makes many volumes, one after the other.
type scope struct {
	testing.TB
	cleanups []func()
}

// Cleanup registers a function for end.
func (s *scope) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

func (s *scope) end() {
	for len(s.cleanups) > 0 {
		last := len(s.cleanups) - 1
		f := s.cleanups[last]
		s.cleanups = s.cleanups[:last]
		f()
	}
}
