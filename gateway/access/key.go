package access

import (
	"fmt"
	"log/slog"
	"strings"
)

// Role is how much a key allows. Each one includes those before it.
type Role int

// The roles.
const (
	Read  Role = iota + 1 // get and list
	Write                 // put, copy, delete, multipart uploads, tags
	Admin                 // make and remove buckets
)

// String gives the role's name in the file.
func (r Role) String() string {
	switch r {
	case Read:
		return "read"
	case Write:
		return "write"
	case Admin:
		return "admin"
	}
	return fmt.Sprintf("role %d", int(r))
}

// ParseRole knows "read", "write" and "admin".
func ParseRole(name string) (Role, error) {
	for r := Read; r <= Admin; r++ {
		if r.String() == name {
			return r, nil
		}
	}
	return 0, fmt.Errorf("role %q: want read, write or admin", name)
}

// Key is one pair of an access key and its secret, and what it is for. It never changes. The
// nil Key allows nothing.
type Key struct {
	name   string
	access string
	secret string
	role   Role
	bucket string // "" is all
	prefix string
}

// KeyOptions make a Key.
type KeyOptions struct {
	// Name is who has it, for the audit log; "" is the access key.
	Name string
	// Access and Secret are the pair; both are empty for those who sign nothing.
	Access, Secret string
	Role           Role
	// Bucket limits the key to one bucket, Prefix to objects whose names begin with it;
	// "" is no limit.
	Bucket, Prefix string
}

// NewKey makes a key.
func NewKey(o KeyOptions) *Key {
	k := &Key{name: o.Name, access: o.Access, secret: o.Secret, role: o.Role, bucket: o.Bucket, prefix: o.Prefix}
	if k.name == "" {
		k.name = k.access
	}
	return k
}

// Name is who has the key.
func (k *Key) Name() string {
	if k == nil {
		return ""
	}
	return k.name
}

// Access is the public part of the pair; "" for those who sign nothing.
func (k *Key) Access() string { return k.access }

// Secret is what signatures are checked with.
func (k *Key) Secret() string { return k.secret }

// String tells who has the key, and no secret.
func (k *Key) String() string {
	if k == nil {
		return "no key"
	}
	return fmt.Sprintf("%s (%s, %s/%s*)", k.name, k.role, orAll(k.bucket), k.prefix)
}

// GoString is String: %#v must not print the secret either.
func (k *Key) GoString() string { return k.String() }

// Format is String for every verb.
func (k *Key) Format(s fmt.State, _ rune) { _, _ = fmt.Fprint(s, k.String()) }

// LogValue is String.
func (k *Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

func orAll(bucket string) string {
	if bucket == "" {
		return "*"
	}
	return bucket
}

// Object tells whether the key has the role for an object of a bucket.
func (k *Key) Object(need Role, bucket, name string) bool {
	return k.Bucket(need, bucket) && strings.HasPrefix(name, k.prefix)
}

// List tells whether the key may list the objects of a bucket whose names begin with
// prefix: only names that it may read.
func (k *Key) List(bucket, prefix string) bool { return k.Object(Read, bucket, prefix) }

// Bucket tells whether the key has the role for something in a bucket.
func (k *Key) Bucket(need Role, bucket string) bool {
	return k != nil && k.role >= need && (k.bucket == "" || k.bucket == bucket)
}

// Whole tells whether the key has the role for a bucket as a whole: to make or remove it.
func (k *Key) Whole(need Role, bucket string) bool {
	return k.Bucket(need, bucket) && k.prefix == ""
}
