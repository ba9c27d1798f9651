// Package s3test runs a real S3 server, versitygw over a directory, for tests and
// for the demo.
//
// The server is a process of its own: as a library it would change this
// process's working directory and allow one server in it. Its modules are pinned by
// versitygw.mod and versitygw.sum, apart from go.mod, so that none of them can reach
// what users run; the go command builds it once and keeps it in the build cache.
// The first build needs the module proxy and up to a minute.
package s3test
