package local_test

import (
	"testing"

	"mirrorfs/meta/redis/local"
)

func TestInfoAndPingRate(t *testing.T) {
	dir := shortDir(t)
	if _, err := local.Info(t.Context(), dir); err == nil || local.Running(t.Context(), dir) {
		t.Fatal("a server that was not started answers")
	}
	if _, err := local.Start(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	info, err := local.Info(t.Context(), dir)
	if err != nil || info["aof_enabled"] != "1" || info["used_memory"] == "" {
		t.Errorf("aof_enabled %q, used_memory %q, %v", info["aof_enabled"], info["used_memory"], err)
	}
	if rate, err := local.PingRate(t.Context(), dir, 100); err != nil || rate < 1 || !local.Running(t.Context(), dir) {
		t.Errorf("%f PINGs a second, %v", rate, err)
	}
}
