// Package gateway shows a volume as buckets and objects: what S3 clients ask for, in terms of
// vfs. It knows neither HTTP nor XML nor signatures; package gateway/s3front speaks those, by a
// library, and stands on the interface API only, so that another front end can take its place.
//
// # Rooms
//
//   - gateway: the types of requests and answers, the interface API, and Gateway, which implements
//     it over a vfs.FS. names.go says which key is which path.
//   - gateway/s3front: the S3 protocol by github.com/versity/versitygw, served on a listener.
//   - gateway/access: who may do what: an API that asks before it passes a request on (a decorator),
//     and the secrets that s3front checks signatures with.
//   - gateway/limit: bandwidth and requests at a time.
//
// What must know who asks finds that in the context: CallerOf.
//
// # Objects are files
//
// The object a/b/c of a bucket is the regular file c in the directory a/b of the bucket's directory,
// whoever made it and however. The object a/b/ is the directory a/b, if it was made as an object.
// Symbolic links, devices and pipes are no objects. Keys that cannot be a path (empty components, "."
// and "..", components of more than meta.MaxNameBytes) have no object and cannot get one.
//
// # What it guarantees
//
//   - An object appears whole or not at all: its bytes go to a file in a hidden directory, which is then
//     renamed. Who reads the old object finishes with the old bytes.
//   - An acknowledged change is in the metadata, its data in object storage before it.
//   - Info.ETag changes whenever bytes may have changed, and not without a change of the file; it is
//     no MD5 and has a "-", which tells clients so.
//   - A listing is in byte order of keys. A key that exists throughout is never missed, whatever else
//     changes, unless a directory above it is renamed meanwhile.
//   - Memory and time of a request are bounded whatever the volume holds.
//
// # Locks
//
// Gateway holds a lock by key (a stripe of a fixed number) from the check of a condition to the rename
// that makes the object appear, so that If-Match and If-None-Match decide between requests of one
// gateway. If-None-Match: * is decided by the rename itself, and so between all clients.
package gateway
