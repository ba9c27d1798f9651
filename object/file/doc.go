// Package file keeps objects as files below one directory: file:///dir.
//
// # Layout
//
// An object is the file root/key, byte for byte, so that rclone, `aws s3 sync` or
// a posix gateway can move a bucket between here and a cloud. What a file system
// cannot name is escaped: control characters, '%' and bytes of 0x80 and above as
// %XX; an empty component, "." and ".." too; a component of 80 bytes or more is
// cut into directories (see name.go). What has no such name is not an object
// and is never listed. A key that is also a directory of other keys ("a" beside
// "a/b") is refused with object.ErrInvalid.
//
// # Guarantees
//
// A file appears whole or not at all: it is written and fsynced under
// root/.mirrorfs-tmp, and then renamed (Put) or hard-linked (PutIfAbsent) into
// place, and the directory is fsynced before the call returns. So are new
// directories, up to the root. What a crash leaves in .mirrorfs-tmp is ignored, and
// removed by a New an hour later. Several processes, and hosts over a file system
// that has close-to-open consistency and atomic links, may share a directory.
//
// Files have mode 0600 and directories 0700: a bucket holds everything that the
// volume's own permissions protect.
//
// # What it is not
//
// It does not interrupt a system call: a ctx that ends is noticed between
// pieces of 1 MiB, so a dead network file system blocks its callers as it blocks
// every other program.
package file
