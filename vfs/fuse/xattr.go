package fuse

import (
	"strings"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"mirrorfs/meta"
)

// storable tells whether an attribute may be stored. The system namespace is
// behaviour, not data (ACLs above all): a program must not be told that an ACL is
// in force when nobody checks it.
func storable(name string) bool {
	return !strings.HasPrefix(name, "system.") && name != pidXattr
}

// GetXAttr reads an extended attribute into dest, or tells its size when dest is
// empty.
func (r *raw) GetXAttr(cancel <-chan struct{}, h *gofuse.InHeader, name string, dest []byte) (uint32, gofuse.Status) {
	defer r.metrics.observe(opGetXattr, r.metrics.now())
	if !storable(name) {
		if name == pidXattr && h.NodeId == gofuse.FUSE_ROOT_ID {
			return fit(dest, r.pid)
		}
		return 0, gofuse.Status(unix.EOPNOTSUPP)
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
func (r *raw) SetXAttr(_ <-chan struct{}, in *gofuse.SetXAttrIn, name string, value []byte) gofuse.Status {
	defer r.metrics.observe(opSetXattr, r.metrics.now())
	if !storable(name) {
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
	return r.inodeStatus("setxattr", r.fs.SetXattr(changing(), c))
}

// RemoveXAttr removes an extended attribute.
func (r *raw) RemoveXAttr(_ <-chan struct{}, h *gofuse.InHeader, name string) gofuse.Status {
	defer r.metrics.observe(opRemoveXattr, r.metrics.now())
	if !storable(name) {
		return gofuse.Status(unix.EOPNOTSUPP)
	}
	return r.inodeStatus("removexattr", r.fs.RemoveXattr(changing(), meta.RemoveXattr{Ino: r.ino(h.NodeId), Name: name}))
}
