package main_test

import (
	"errors"
	"fmt"
	"testing"

	main "mirrorfs/cmd/mirrorfs"
	"mirrorfs/meta"
	"mirrorfs/meta/redis"
	"mirrorfs/meta/redis/redistest"
)

// A source without mirrors keeps the end of its log; one with a mirror keeps
// what the mirror has not acknowledged.
func TestUpkeepTrimsTheLog(t *testing.T) {
	ctx := t.Context()
	e, err := redis.Format(ctx, redistest.Start(t), meta.Volume{Name: "vol", ID: "id"}, redis.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	if err := e.StartSession(ctx, meta.SessionInfo{Kind: "test"}); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if _, err := e.Change(ctx, meta.Make{Parent: meta.RootIno, Name: fmt.Sprint(i), Mode: meta.TypeFile | 0o644}); err != nil {
			t.Fatal(err)
		}
	}
	const acknowledged = 50
	reads := func(seq uint64) error {
		_, err := e.Tail(ctx, meta.Position{Epoch: 1, Seq: seq}, 1, 0)
		return err
	}
	if err := e.Acknowledge(ctx, meta.MirrorState{Site: 2, Applied: meta.Position{Epoch: 1, Seq: acknowledged}}); err != nil {
		t.Fatal(err)
	}
	if err := main.KeepLog(ctx, e, 10); err != nil {
		t.Fatal(err)
	}
	if err := reads(acknowledged); err != nil {
		t.Errorf("what the mirror needs is gone: %v", err)
	}
	if err := reads(acknowledged - 10); !errors.Is(err, meta.ErrGap) {
		t.Errorf("what the mirror has is kept: %v", err)
	}
	if err := e.ForgetMirror(ctx, 2); err != nil {
		t.Fatal(err)
	}
	if err := main.KeepLog(ctx, e, 10); err != nil {
		t.Fatal(err)
	}
	if err := reads(acknowledged); !errors.Is(err, meta.ErrGap) {
		t.Errorf("what nobody needs is kept: %v", err)
	}
}
