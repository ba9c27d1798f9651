// Package mem keeps objects in the memory of this process: for tests, for
// benchmarks of what stands above, and for scratch volumes (mem://name).
//
// Guarantees: the whole contract of object.Store, except that nothing survives
// the process. It never fails by itself; put object/faulty in front of it for
// that.
package mem
