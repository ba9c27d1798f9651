package fuse

import (
	"context"
	"errors"
	"strings"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"mirrorfs/meta"
)

// storable tells whether an attribute may be stored: one of Linux's namespaces for
// data, and ACLs if the kernel checks them. A program must not be told that an ACL is
// in force when nobody does.
func (r *raw) storable(name string) bool {
	if strings.HasPrefix(name, positionPrefix) {
		return false
	}
	if isACL(name) {
		return r.server.KernelSettings().Flags64()&gofuse.CAP_POSIX_ACL != 0
	}
	space, _, _ := strings.Cut(name, ".")
	switch space {
	case "user", "trusted", "security":
		return true
	}
	return false
}

func isACL(name string) bool { return name == meta.XattrACL || name == meta.XattrDefaultACL }

// GetXAttr reads an extended attribute into dest, or tells its size when dest is
// empty.
func (r *raw) GetXAttr(cancel <-chan struct{}, h *gofuse.InHeader, name string, dest []byte) (uint32, gofuse.Status) {
	defer r.metrics.observe(opGetXattr, r.metrics.now())
	switch {
	case strings.HasPrefix(name, positionPrefix):
		return r.position(cancel, h, name, dest)
	case !r.storable(name):
		return r.control(cancel, h, name, dest)
	}
	ctx := r.asking(cancel, h)
	defer ctx.finish()
	value, err := r.fs.GetXattr(ctx, r.ino(h.NodeId), name)
	if err != nil {
		return 0, r.inodeStatus("getxattr", err)
	}
	return fit(dest, value)
}

// ListXAttr gives the names, each ended by a zero byte.
func (r *raw) ListXAttr(cancel <-chan struct{}, h *gofuse.InHeader, dest []byte) (uint32, gofuse.Status) {
	defer r.metrics.observe(opListXattr, r.metrics.now())
	ctx := r.asking(cancel, h)
	defer ctx.finish()
	names, err := r.fs.ListXattr(ctx, r.ino(h.NodeId))
	if err != nil {
		return 0, r.inodeStatus("listxattr", err)
	}
	var all []byte
	for _, name := range names {
		all = append(append(all, name...), 0)
	}
	return fit(dest, all)
}

// fit copies value to dest, and tells its size when it does not fit.
func fit(dest, value []byte) (uint32, gofuse.Status) {
	if len(value) > len(dest) {
		return uint32(len(value)), gofuse.ERANGE
	}
	return uint32(copy(dest, value)), gofuse.OK
}

// SetXAttr sets an extended attribute.
func (r *raw) SetXAttr(cancel <-chan struct{}, in *gofuse.SetXAttrIn, name string, value []byte) gofuse.Status {
	defer r.metrics.observe(opSetXattr, r.metrics.now())
	if !r.storable(name) {
		return gofuse.Status(unix.EOPNOTSUPP)
	}
	c := meta.SetXattr{Ino: r.ino(in.NodeId), Name: name, Value: append([]byte(nil), value...)}
	switch in.Flags {
	case unix.XATTR_CREATE:
		c.Mode = meta.XattrCreate
	case unix.XATTR_REPLACE:
		c.Mode = meta.XattrReplace
	case 0:
	default:
		return gofuse.EINVAL
	}
	c.ClearSetGID = isACL(name) && in.SetXAttrFlags&gofuse.SETXATTR_ACL_KILL_SGID != 0
	return r.inodeStatus("setxattr", run0(r.request(cancel, &in.InHeader), func(ctx context.Context) error { return r.fs.SetXattr(ctx, c) }))
}

// RemoveXAttr removes an extended attribute.
func (r *raw) RemoveXAttr(cancel <-chan struct{}, h *gofuse.InHeader, name string) gofuse.Status {
	defer r.metrics.observe(opRemoveXattr, r.metrics.now())
	if !r.storable(name) {
		return gofuse.Status(unix.EOPNOTSUPP)
	}
	c := meta.RemoveXattr{Ino: r.ino(h.NodeId), Name: name}
	err := run0(r.request(cancel, h), func(ctx context.Context) error { return r.fs.RemoveXattr(ctx, c) })
	if isACL(name) && errors.Is(err, unix.ENODATA) {
		return gofuse.OK // as on Linux's own file systems
	}
	return r.inodeStatus("removexattr", err)
}
