// Package s3front serves a gateway.API as S3. The protocol (HTTP, signatures, chunked bodies and their
// trailers, XML) is github.com/versity/versitygw's, whose backend.Backend this package implements; nothing
// else of mirrorfs knows that library.
//
// # What it adds
//
//   - Every account that Keys knows is one that may do everything, as far as the library is concerned:
//     who may do what is decided by the API below, which finds the caller in its context.
//   - Bucket policies, ACLs and CORS rules, which the library looks up on every request, are answered
//     from memory: there are none.
//   - Answers to changes carry PositionHeader; a request with WaitHeader waits until it is answered as of
//     that position.
//   - An operation that gateway.API does not have answers NotImplemented.
//
// # Lifecycle
//
// New starts nothing, Serve blocks until Shutdown. Several servers may be in one process.
package s3front
