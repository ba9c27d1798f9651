package chunk_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"mirrorfs/chunk"
	"mirrorfs/object/mem"
)

func TestOptionsAreChecked(t *testing.T) {
	for _, bad := range []chunk.Options{
		{BlockBytes: 1},
		{BlockBytes: 4<<20 + 1},
		{BlockBytes: 3 << 20},
		{BlockBytes: 128 << 20},
		{BlockBytes: -4 << 20},
		{Uploads: -1},
		{Downloads: -1},
		{BufferBytes: -1},
		{PrefetchBytes: -1},
	} {
		if _, err := chunk.New(mem.New("x"), nil, bad); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
	for _, good := range []int{0, 64 << 10, 4 << 20, chunk.Bytes} {
		if err := (chunk.Options{BlockBytes: good}).Validate(); err != nil {
			t.Errorf("blocks of %d bytes: %v", good, err)
		}
	}
	if b := newBlocks(t, mem.New("x"), nil, chunk.Options{}); b.BlockBytes() != 4<<20 || b.PrefetchBytes() != 64<<20 {
		t.Error("wrong defaults")
	}
	for _, bad := range []chunk.DiskOptions{{LimitBytes: -1}, {OpenFiles: -1}, {Volume: "a/b"}, {Volume: ".."}} {
		if _, err := chunk.OpenDiskCache(t.TempDir(), bad); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

// TestMetricsAreRegisteredOnce: two of one name are an error, not a panic.
func TestMetricsAreRegisteredOnce(t *testing.T) {
	reg := prometheus.NewRegistry()
	newBlocks(t, mem.New("x"), openCache(t, t.TempDir(), chunk.DiskOptions{Metrics: reg}), chunk.Options{Metrics: reg})
	if _, err := chunk.New(mem.New("x"), nil, chunk.Options{Metrics: reg}); err == nil {
		t.Error("a second of the same name is taken")
	}
	dir := t.TempDir()
	if _, err := chunk.OpenDiskCache(dir, chunk.DiskOptions{Metrics: reg}); err == nil {
		t.Error("a second of the same name is taken")
	}
	openCache(t, dir, chunk.DiskOptions{}) // the directory was given back
	if _, err := reg.Gather(); err != nil {
		t.Error(err)
	}
}
