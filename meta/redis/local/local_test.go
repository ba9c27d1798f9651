package local_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"mirrorfs/meta/redis/local"
)

// shortDir is a directory whose sockets have short paths.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mfs") //nolint:usetesting // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := local.Stop(context.Background(), dir); err != nil {
			t.Error(err)
		}
		_ = os.RemoveAll(dir)
	})
	return dir
}

func TestStartManyTimesStartsOnce(t *testing.T) {
	dir := filepath.Join(shortDir(t), "volume")
	t.Cleanup(func() { _ = local.Stop(context.Background(), dir) })
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := local.Start(t.Context(), dir); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	log, err := os.ReadFile(filepath.Join(dir, "redis.log"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(log), "Server initialized"); n != 1 {
		t.Errorf("the server was started %d times: want once", n)
	}
	if err := local.Stop(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "redis.sock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Stop the socket is still there (%v)", err)
	}
	if err := local.Stop(t.Context(), dir); err != nil {
		t.Errorf("a second Stop: %v", err)
	}
	if _, err := local.Start(t.Context(), dir); err != nil {
		t.Errorf("start after Stop: %v", err)
	}
}

func TestStartWithoutServerProgram(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := local.Start(t.Context(), shortDir(t))
	if !errors.Is(err, local.ErrNoServer) {
		t.Errorf("got %v: want ErrNoServer", err)
	}
}

func TestSocketPathTooLong(t *testing.T) {
	if _, err := local.Start(t.Context(), "/tmp/"+strings.Repeat("x", 110)); err == nil || !strings.Contains(err.Error(), "shorter") {
		t.Errorf("got %v: want advice to choose a shorter directory", err)
	}
}
