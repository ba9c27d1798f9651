package local

import "context"

// Running reports whether the directory's server answers. It starts nothing.
func Running(ctx context.Context, dir string) bool {
	socket, err := Socket(dir)
	return err == nil && ping(ctx, socket) == nil
}
