package metatest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"mirrorfs/meta"
)

func testTail(f *feed) {
	t, ctx := f.t, f.t.Context()
	f.made("a", "b", "c")
	log := f.entries()
	state := f.state(f.source)
	if last := log[len(log)-1].Position; last != state.Position || log[0].Position.Seq != 1 {
		t.Errorf("the log is from %v to %v, the state says %v", log[0].Position, last, state.Position)
	}
	chain := meta.EmptyChain
	for i := range log {
		next, ok := meta.CheckChain(chain, log[i].Raw)
		if !ok {
			t.Errorf("record %v does not follow", log[i].Position)
		}
		if _, err := meta.DecodeRecord(log[i].Raw); err != nil {
			t.Errorf("record %v: %v", log[i].Position, err)
		}
		chain = next
	}
	if chain != state.Chain {
		t.Errorf("the chain ends in %s, the state says %s", chain, state.Chain)
	}
	if got, err := f.source.Tail(ctx, log[1].Position, 2, time.Hour); err != nil || len(got) != 2 || got[0].Position != log[2].Position {
		t.Errorf("two after %v: %v, %v", log[1].Position, got, err)
	}
	if got, err := f.source.Tail(ctx, state.Position, 10, time.Millisecond); err != nil || len(got) != 0 {
		t.Errorf("after the end: %v, %v", got, err)
	}
	beyond := state.Position
	beyond.Seq += 5
	if _, err := f.source.Tail(ctx, beyond, 10, time.Millisecond); !errors.Is(err, meta.ErrGap) {
		t.Errorf("after %v, beyond the end: %v", beyond, err)
	}
	// One that waits gets what comes.
	got := make(chan string)
	go func() {
		entries, err := f.source.Tail(ctx, state.Position, 10, time.Hour)
		got <- fmt.Sprint(len(entries) > 0 && entries[0].Position.Seq == state.Position.Seq+1, err)
	}()
	f.made("d")
	if text := <-got; text != "true <nil>" {
		t.Errorf("waiting for an entry gave %s", text)
	}
	cancelled, cancel := context.WithCancel(ctx)
	end := f.state(f.source).Position
	go func() {
		entries, err := f.source.Tail(cancelled, end, 10, time.Hour)
		got <- fmt.Sprint(len(entries), err != nil)
	}()
	cancel()
	if text := <-got; text != "0 true" {
		t.Errorf("a tail that was cancelled gave %s", text)
	}
}

// testRecords makes one change of each kind and reads its record: it says what the
// reply said, and where the volume stood then.
func testRecords(f *feed) {
	t, ctx := f.t, f.t.Context()
	file := func() meta.Ino {
		t.Helper()
		n, err := f.pair.engine.Lookup(ctx, root, "f")
		if err != nil {
			t.Fatal(err)
		}
		return n.Ino
	}
	f.made("f", "g")
	for _, c := range []meta.Change{
		meta.Make{Parent: root, Name: "file", Mode: meta.TypeFile | 0o644},
		meta.Make{Parent: root, Name: "dir", Mode: meta.TypeDir | 0o755},
		meta.Make{Parent: root, Name: "symlink", Mode: meta.TypeSymlink | 0o777, Target: "t"},
		meta.Make{Parent: root, Name: "fifo", Mode: meta.TypeFifo},
		meta.Link{Ino: file(), Parent: root, Name: "link"},
		meta.Rename{OldParent: root, OldName: "link", NewParent: root, NewName: "g"},
		meta.SetAttr{Ino: file(), Set: meta.SetSize, Size: 99},
		commitOf(file(), meta.Extent{Len: 10, Slice: 1, Size: 10}),
		meta.SetXattr{Ino: file(), Name: "user.a", Value: []byte("v")},
		meta.RemoveXattr{Ino: file(), Name: "user.a"},
		meta.Unlink{Parent: root, Name: "fifo"},
		meta.Rmdir{Parent: root, Name: "dir"},
		meta.Reserve{Count: 7},
	} {
		f.pair.clock.advance(time.Millisecond + time.Nanosecond)
		before := f.state(f.source)
		if diff := f.pair.change(ctx, c); diff != "" {
			t.Fatal(diff)
		}
		after, r := f.state(f.source), f.pair.last
		log, err := f.source.Tail(ctx, before.Position, 10, 0)
		if err != nil || len(log) != 1 || log[0].Position != after.Position || r.Position != after.Position {
			t.Fatalf("%#v answered %v and left %d records, %v; the volume is at %v", c, r.Position, len(log), err, after.Position)
		}
		record, err := meta.DecodeRecord(log[0].Raw)
		if err != nil {
			t.Fatalf("%#v: %v", c, err)
		}
		if chain, ok := meta.CheckChain(before.Chain, log[0].Raw); !ok || chain != after.Chain {
			t.Errorf("%#v: chain %s, %v; the volume says %s", c, chain, ok, after.Chain)
		}
		if record.Op != c.Op() || record.Time != f.pair.clock.now().UnixNano() || record.Session == 0 || record.Number == 0 || record.After != after.Counters {
			t.Errorf("%#v: the record is %+v", c, record)
		}
		if !reflect.DeepEqual(record.Effects, r.Effects) {
			t.Errorf("%#v: the reply says %+v, the record %+v", c, r.Effects, record.Effects)
		}
		inodes := true
		for _, e := range record.Effects {
			is := e.Kind == meta.EffectInode || e.Kind == meta.EffectInodeGone
			if is && !inodes {
				t.Errorf("%#v: an inode comes after other effects", c)
			}
			inodes = is
		}
		if n := r.Node; n.Ino != 0 && len(record.Effects) > 0 && record.Effects[0].Ino != n.Ino {
			t.Errorf("%#v is about inode %d, its record about %d", c, n.Ino, record.Effects[0].Ino)
		}
	}
}

func testTrimLog(f *feed) {
	t, ctx := f.t, f.t.Context()
	f.made("a", "b", "c", "d", "e", "f", "g", "h")
	log := f.entries()
	ack := func(site uint8, i int) {
		t.Helper()
		if err := f.source.Acknowledge(ctx, meta.MirrorState{Site: site, Name: "m", Applied: log[i].Position}); err != nil {
			t.Fatal(err)
		}
	}
	// trim must leave the log from an index on.
	trim := func(keep, left int) {
		t.Helper()
		if _, err := f.source.TrimLog(ctx, keep); err != nil {
			t.Fatal(err)
		}
		after := meta.Position{}
		if left > 0 {
			after = log[left-1].Position
		}
		if got, err := f.source.Tail(ctx, after, 1, 0); err != nil || len(got) != 1 || got[0].Position != log[left].Position {
			t.Errorf("after a trim to %d, the entry after %v: %v, %v", keep, after, got, err)
		}
		if left == 0 {
			return
		}
		before := meta.Position{}
		if left > 1 {
			before = log[left-2].Position
		}
		if got, err := f.source.Tail(ctx, before, 1, 0); !errors.Is(err, meta.ErrGap) {
			t.Errorf("after a trim to %d, the entry after %v: %v, %v", keep, before, got, err)
		}
	}
	trim(len(log)+5, 0)
	trim(len(log)-2, 2)
	ack(2, 4)
	ack(3, 6)
	trim(0, 5)
	trim(2, 5)
	ack(2, 9)
	trim(2, 7)
	if err := f.source.ForgetMirror(ctx, 3); err != nil {
		t.Fatal(err)
	}
	trim(3, len(log)-3)
	if n, err := f.source.TrimLog(ctx, 3); err != nil || n != 0 {
		t.Errorf("trimmed again: %d, %v", n, err)
	}
	f.made("after")
	if diff := f.pair.compareAll(t); diff != "" {
		t.Error(diff)
	}
}

func testMirrors(f *feed) {
	t, ctx := f.t, f.t.Context()
	mirrors := func() []meta.MirrorState {
		t.Helper()
		all, err := f.source.Mirrors(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	before := f.state(f.source)
	two := meta.MirrorState{Site: 2, Name: "b", State: "following", Applied: meta.Position{Epoch: 1, Seq: 5}, Seen: time.Unix(1_700_000_000, 0).UTC(), Mode: "demand"}
	three := meta.MirrorState{Site: 3, Name: "c", State: "stalled", Reason: "why", Seen: two.Seen}
	for _, s := range []meta.MirrorState{two, three, two} {
		if err := f.source.Acknowledge(ctx, s); err != nil {
			t.Fatal(err)
		}
	}
	if all := mirrors(); len(all) != 2 || all[0] != two || all[1] != three {
		t.Errorf("mirrors are %+v", all)
	}
	two.Applied.Seq = 9
	if err := f.source.Acknowledge(ctx, two); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := f.source.ForgetMirror(ctx, 3); err != nil {
			t.Fatal(err)
		}
	}
	if all := mirrors(); len(all) != 1 || all[0] != two {
		t.Errorf("mirrors are %+v", all)
	}
	if after := f.state(f.source); after != before {
		t.Errorf("mirrors moved the log from %+v to %+v", before, after)
	}
}

func testLocal(f *feed) {
	t, ctx := f.t, f.t.Context()
	set := func(values map[string]string) {
		t.Helper()
		if err := f.replica.SetLocal(ctx, values); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(want string) {
		t.Helper()
		if got, err := f.replica.Local(ctx); err != nil || fmt.Sprint(got) != want {
			t.Errorf("local facts are %v, %v; want %s", got, err, want)
		}
	}
	expect("map[]")
	set(map[string]string{"a": "1", "b": "2"})
	set(map[string]string{"b": "3", "c": ""})
	expect("map[a:1 b:3]")
	f.reset(f.replica, meta.State{Chain: meta.EmptyChain})
	f.catchUp(f.replica, func() int { return 100 })
	expect("map[a:1 b:3]")
	set(map[string]string{"a": ""})
	expect("map[b:3]")
}
