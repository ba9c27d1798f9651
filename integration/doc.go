// Package integration holds tests of whole sites: the real program in processes
// of its own, with real Redis servers, a real S3 server, real mounts, and links
// that delay and are cut. There is no code in it but tests and package harness.
package integration
