package vfs

import (
	"context"
	"syscall"

	"mirrorfs/meta"
)

// Lookup finds a name in a directory: one round trip. "." and ".." work, and do
// not leave the root that the FS shows.
func (fs *FS) Lookup(ctx context.Context, parent meta.Ino, name string) (meta.Node, error) {
	if err := checkName("lookup", parent, name); err != nil {
		return meta.Node{}, err
	}
	if name == ".." && parent == fs.opts.Root {
		name = "."
	}
	ctx, cancel := fs.asking(ctx)
	defer cancel()
	before := fs.learned.Load()
	node, err := fs.engine.Lookup(ctx, parent, name)
	if err != nil {
		return meta.Node{}, err
	}
	fs.see(&node, before)
	return node, nil
}

// Resolve walks a slash-separated path from a directory in one round trip and
// gives the node of each component. It does not follow symbolic links. When a
// component is missing, it gives those before it, and ENOENT or ENOTDIR.
func (fs *FS) Resolve(ctx context.Context, dir meta.Ino, path string) ([]meta.Node, error) {
	ctx, cancel := fs.asking(ctx)
	defer cancel()
	before := fs.learned.Load()
	nodes, err := fs.engine.Resolve(ctx, dir, path)
	for i := range nodes {
		fs.see(&nodes[i], before)
	}
	return nodes, err
}

// ReadDir gives up to limit entries (at most meta.MaxPageEntries) of a directory in byte order of
// names after any string, without "." and "..": one round trip. For who lists in pages of their
// own; programs that read a directory as a stream have OpenDir.
func (fs *FS) ReadDir(ctx context.Context, dir meta.Ino, after string, limit int) (meta.Page, error) {
	ctx, cancel := fs.asking(ctx)
	defer cancel()
	before := fs.learned.Load()
	page, err := fs.engine.ReadDir(ctx, dir, after, limit)
	for i := range page.Entries {
		fs.see(&page.Entries[i].Node, before)
	}
	return page, err
}

// Make makes anything that has a name and is not opened at once: directories,
// symbolic links, devices, pipes, sockets, empty files. One round trip.
func (fs *FS) Make(ctx context.Context, c meta.Make) (meta.Node, error) {
	if err := checkNew(c.Op().String(), c.Parent, c.Name); err != nil {
		return meta.Node{}, err
	}
	if c.Mode&meta.TypeMask == meta.TypeSymlink {
		switch {
		case c.Target == "":
			return meta.Node{}, refuse("symlink", c.Parent, c.Name, syscall.ENOENT)
		case len(c.Target) > meta.MaxTargetBytes:
			return meta.Node{}, refuse("symlink", c.Parent, c.Name, syscall.ENAMETOOLONG)
		}
	}
	res, err := fs.change(ctx, c)
	return res.Node, err
}

// Link gives a file another name. One round trip.
func (fs *FS) Link(ctx context.Context, c meta.Link) (meta.Node, error) {
	if err := checkNew("link", c.Parent, c.Name); err != nil {
		return meta.Node{}, err
	}
	res, err := fs.change(ctx, c)
	return res.Node, err
}

// Unlink removes a name of anything but a directory. A file that is open stays readable and writable until its last
// Release, here and on other clients. One round trip.
func (fs *FS) Unlink(ctx context.Context, c meta.Unlink) error {
	if err := checkOld("unlink", c.Parent, c.Name); err != nil {
		return err
	}
	fs.removing.RLock()
	defer fs.removing.RUnlock()
	_, err := fs.change(ctx, c)
	return err
}

// Rmdir removes an empty directory. One round trip.
func (fs *FS) Rmdir(ctx context.Context, c meta.Rmdir) error {
	if c.Name == "." {
		return refuse("rmdir", c.Parent, c.Name, syscall.EINVAL)
	}
	if c.Name == ".." {
		return refuse("rmdir", c.Parent, c.Name, syscall.ENOTEMPTY)
	}
	if err := checkName("rmdir", c.Parent, c.Name); err != nil {
		return err
	}
	_, err := fs.change(ctx, c)
	return err
}

// Rename moves a name, over an existing one if flags allow it. One round trip.
func (fs *FS) Rename(ctx context.Context, c meta.Rename) error {
	if c.Flags == meta.RenameNoReplace|meta.RenameExchange || c.Flags&^(meta.RenameNoReplace|meta.RenameExchange) != 0 {
		return refuse("rename", c.OldParent, c.OldName, syscall.EINVAL)
	}
	for _, err := range []error{checkOld("rename", c.OldParent, c.OldName), checkOld("rename", c.NewParent, c.NewName)} {
		if err != nil {
			return err
		}
	}
	fs.removing.RLock()
	defer fs.removing.RUnlock()
	_, err := fs.change(ctx, c)
	return err
}

// ReadLink gives the target of a symbolic link. One round trip.
func (fs *FS) ReadLink(ctx context.Context, ino meta.Ino) (string, error) {
	ctx, cancel := fs.asking(ctx)
	defer cancel()
	return fs.engine.ReadLink(ctx, ino)
}

// checkNew is checkName for a name to be made.
func checkNew(op string, parent meta.Ino, name string) error {
	if name == "." || name == ".." {
		return refuse(op, parent, name, syscall.EEXIST)
	}
	return checkName(op, parent, name)
}

// checkOld is checkName for a name to be removed or moved.
func checkOld(op string, parent meta.Ino, name string) error {
	if name == "." || name == ".." {
		return refuse(op, parent, name, syscall.EBUSY)
	}
	return checkName(op, parent, name)
}
