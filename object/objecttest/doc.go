// Package objecttest is the suite that every object.Store passes: each
// implementation, bare and behind every wrapper. Each test is one sentence of the
// contract in package object.
//
//	func TestStore(t *testing.T) {
//		objecttest.Run(t, func(t *testing.T) object.Store { return mem.New("t") })
//	}
package objecttest
