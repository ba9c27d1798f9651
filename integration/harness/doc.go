// Package harness runs whole sites for the tests of package integration: the real
// mirrorfs program in processes of its own, real Redis servers, real buckets,
// real mounts, and links between sites that delay and can be cut.
//
// Everything that it starts ends with the test, also when the test fails, in the
// reverse order. What a process logged is shown when its test failed.
package harness
