package main_test

import (
	"testing"

	main "mirrorfs/cmd/mirrorfs"
)

func TestSizes(t *testing.T) {
	for s, want := range map[string]int64{
		"0": 0, "1": 1, "4MiB": 4 << 20, "4M": 4 << 20, "4mb": 4e6, "1.5GiB": 3 << 29, "10KiB": 10 << 10, "1TiB": 1 << 40, "7b": 7,
	} {
		got, err := main.ParseBytes(s)
		if err != nil || got != want {
			t.Errorf("%q: %d, %v: want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "MiB", "-1", "4 MiB", "4XB", "1e30TiB", "NaN", "4MiBB"} {
		if got, err := main.ParseBytes(s); err == nil {
			t.Errorf("%q: %d, want an error", s, got)
		}
	}
}

func TestSizesAsShown(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 4 << 20: "4MiB", 10 << 30: "10GiB", 1000: "1000"} {
		if got := main.FlagString(n); got != want {
			t.Errorf("flag %d: %q, want %q", n, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 512 << 20: "512 MiB"} {
		if got := main.FormatBytes(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
