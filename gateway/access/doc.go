// Package access says who may use a gateway, and for what: keys, each with a role and a
// prefix, from a file that is read again when it changes and from the environment.
//
// A Keyring holds them. It finds the key that a request was signed with, and a Key tells
// whether it allows what is asked for. A Guard is a gateway.API that asks before it passes a
// request on. Nothing here knows how requests are signed: front ends check that with the
// secrets of the Keyring.
//
// # The file
//
// JSON, at most MaxFileBytes:
//
//	{"keys": [
//	  {"name": "trainer", "access_key": "AKTRAIN", "secret_key": "...", "role": "write", "prefix": "runs/"},
//	  {"name": "servers", "access_key": "AKSERVE", "secret_key": "...", "role": "read", "bucket": "models"},
//	  {"anonymous": true, "role": "read", "prefix": "public/"}
//	]}
//
// The role "read" gets and lists, "write" changes objects too, "admin" makes and removes
// buckets too. A key without a bucket is for all of them, one without a prefix for all names.
// A prefix is of the object's name, to the byte: "models" covers "models-old/a", "models/"
// does not. What has a prefix lists within it.
//
// A Certificate is what a gateway proves itself with to its clients; its files are read again
// when they change, too.
//
// # Secrets
//
// A secret leaves a Key only by its method Secret, for checking a signature. Neither keys nor
// errors print one, whatever verb formats them.
//
// # Locks
//
// None are held: the keys in use are one value, replaced as a whole. All methods may be
// called concurrently.
package access
