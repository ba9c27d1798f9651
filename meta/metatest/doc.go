// Package metatest is the suite that every engine and every decorator of an
// engine passes. It compares them with meta/model, operation by operation.
//
//	func TestSuite(t *testing.T) {
//		metatest.Run(t, metatest.Config{New: newVolume, NewReplica: newReplica})
//	}
//
// # What it runs
//
//   - Tables: each operation, each errno, one by one.
//   - Random: a random list of operations on the model and on the engine must give
//     equal replies, equal effects, and at the end equal trees, extents and usage.
//     Names collide often and are awkward; directories grow past a page and shrink.
//   - Faulty: the same, and Concurrent, while requests and replies are lost and sent
//     again, and some lost requests arrive late.
//   - Concurrent: four clients at once. Small histories are checked for
//     linearizability with porcupine; large ones by replaying the changes on the
//     model in the order of their positions, which must explain every reply,
//     and every read at the position that it observed.
//   - Paging: pages of a directory of thousands of names under concurrent change.
//   - Replica, for an engine that is a meta.Source and has a meta.Replica: replay of
//     the log, fuzzy copy, refusals, and a check of every row against every other.
//
// # Replaying a failure
//
// A failing random test prints its seed, the shortest list of operations that it
// found to fail the same way, and the command to run it again:
//
//	MIRRORFS_SEED=42 MIRRORFS_OPS=2000 go test ./meta/redis -run 'TestSuite/Random'
//
// MIRRORFS_SEED runs that seed only. Otherwise a few fixed seeds run and a few
// new ones; MIRRORFS_SEEDS=200 asks for that many new ones, and MIRRORFS_OPS=2000
// sets the operations of each. MIRRORFS_LONG=1 does what takes minutes. Concurrent
// tests depend on scheduling too, so that a seed there makes a failure likely,
// not certain.
//
// # What it is not
//
// It does not look behind the interfaces of package meta: round trips, keys and
// memory are for the engine's own tests.
package metatest
