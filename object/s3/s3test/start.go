package s3test

import (
	"context"
	"testing"
)

// Start runs a server on a temporary directory until the test ends.
func Start(t testing.TB) Server {
	t.Helper()
	dir := t.TempDir()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	started := make(chan Server, 1)
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, dir, func(s Server) { started <- s }) }()
	select {
	case s := <-started:
		t.Cleanup(func() {
			stop()
			if err := <-ended; err != nil {
				t.Errorf("S3 server: %v", err)
			}
		})
		return s
	case err := <-ended:
		stop()
		t.Fatalf("S3 server: %v", err)
	}
	panic("unreachable")
}
