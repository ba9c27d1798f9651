package redis_test

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"mirrorfs/meta"
	"mirrorfs/meta/dump"
	"mirrorfs/meta/redis"
	"mirrorfs/meta/redis/redistest"
)

// unpaged is all keys with each directory in one page, for that is a copy's own business.
func unpaged(all keys) keys {
	out := keys{}
	for name, values := range all {
		page, _, _ := strings.Cut(name, ".")
		switch name[0] {
		case 'x':
			continue
		case 'd':
			if out[page] == nil {
				out[page] = map[string]string{}
			}
			maps.Copy(out[page], values)
		case 'i':
			values = maps.Clone(values)
			for field, v := range values {
				if v[1]>>4 == 4 {
					values[field] = v[:55] + "\x00\x00\x00\x00"
				}
			}
			out[name] = values
		default:
			out[name] = values
		}
	}
	return out
}

// A volume that was loaded from its dump has the same keys with the same values.
func TestLoadGivesTheSameKeys(t *testing.T) {
	source := redistest.New(t)
	backlog(t, source, 300)
	if _, err := source.Change(t.Context(), meta.SetXattr{Ino: 1, Name: "user.a", Value: []byte("b")}); err != nil {
		t.Fatal(err)
	}
	if _, err := source.TrimLog(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if _, err := dump.Write(t.Context(), &file, source, dump.Options{Rows: 50}); err != nil {
		t.Fatal(err)
	}
	to, address := openReplica(t, redis.Options{})
	open := func(context.Context, meta.Volume) (dump.Target, error) { return to, nil }
	if _, err := dump.Load(t.Context(), &file, open, dump.Options{}); err != nil {
		t.Fatal(err)
	}
	all := keysAt(t, address)
	checkPages(t, all)
	a, b := unpaged(mirroredKeys(t, addressOf(t, source))), unpaged(mirroredKeys(t, address))
	names := slices.Sorted(maps.Keys(a))
	if got := slices.Sorted(maps.Keys(b)); !slices.Equal(got, names) {
		t.Errorf("the keys are\n%q\nand after the load\n%q", names, got)
	}
	for _, name := range names {
		if !maps.Equal(a[name], b[name]) {
			t.Errorf("key %q: the volume has\n%q\nand after the load\n%q", name, a[name], b[name])
		}
	}
}
