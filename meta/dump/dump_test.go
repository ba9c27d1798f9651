package dump_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"mirrorfs/meta"
	"mirrorfs/meta/dump"
	"mirrorfs/meta/model"
)

// sample is a small volume: some files, of which one is an orphan.
func sample(t testing.TB) *model.Engine {
	t.Helper()
	e := model.New(meta.Volume{Name: "sample", ID: "sample-1", Sites: map[uint8]meta.Site{1: {ID: 1, Name: "home"}}}, nil)
	if err := e.StartSession(t.Context(), meta.SessionInfo{Host: "here"}); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		made, err := e.Change(t.Context(), meta.Make{Parent: meta.RootIno, Name: fmt.Sprint("file-", i), Mode: meta.TypeFile | 0o644})
		if err != nil {
			t.Fatal(err)
		}
		extent := meta.Extent{Len: 100, Slice: uint64(i) + 1, Home: 1, Size: 100}
		if _, err := e.Change(t.Context(), meta.Commit{Ino: made.Node.Ino, Chunks: []meta.ChunkExtents{{Extents: []meta.Extent{extent}}}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.Change(t.Context(), meta.Unlink{Parent: meta.RootIno, Name: "file-3"}); err != nil {
		t.Fatal(err)
	}
	return e
}

// busy makes changes during the scan, so that the dump has records.
type busy struct {
	*model.Engine
	t testing.TB
	n int
}

// Scan changes something first.
func (b *busy) Scan(ctx context.Context, from meta.Cursor, limit int) (meta.Batch, error) {
	b.n++
	if _, err := b.Change(ctx, meta.Make{Parent: meta.RootIno, Name: fmt.Sprint("during-", b.n), Mode: meta.TypeFile}); err != nil {
		b.t.Error(err)
	}
	return b.Engine.Scan(ctx, from, limit)
}

// write dumps the sample, in small parts.
func write(t testing.TB) []byte {
	t.Helper()
	var file bytes.Buffer
	if _, err := dump.Write(t.Context(), &file, &busy{Engine: sample(t), t: t}, dump.Options{Rows: 10}); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func verify(t testing.TB, file []byte) error {
	t.Helper()
	_, err := dump.Verify(t.Context(), bytes.NewReader(file), dump.Options{})
	return err
}

// parts gives where each part of a dump begins, and its end.
func parts(t testing.TB, file []byte) []int {
	t.Helper()
	at := []int{16}
	for at[len(at)-1] < len(file) {
		head := file[at[len(at)-1]:]
		stored := int(head[6])<<24 | int(head[7])<<16 | int(head[8])<<8 | int(head[9])
		at = append(at, at[len(at)-1]+18+stored)
	}
	return at
}

// A dump that lacks its end, wherever it is cut, is refused, and so is one with a bit that
// flipped, wherever. The error says in which part.
func TestDamageIsFoundAndPlaced(t *testing.T) {
	file := write(t)
	if err := verify(t, file); err != nil {
		t.Fatal(err)
	}
	at := parts(t, file)
	if len(at) < 8 || at[len(at)-1] != len(file) {
		t.Fatalf("parts begin at %v of %d", at, len(file))
	}
	part := 0
	for i := range file {
		for part+1 < len(at) && i >= at[part+1] {
			part++
		}
		want := int64(at[part])
		if i < at[0] {
			want = 0
		}
		flipped := bytes.Clone(file)
		flipped[i] ^= 1 << (i % 8)
		for what, bad := range map[string][]byte{"cut": file[:i], "flipped": flipped} {
			err := verify(t, bad)
			var damaged *dump.DamagedError
			if !errors.As(err, &damaged) || damaged.Offset != want {
				t.Fatalf("%s at byte %d, in the part at %d: %v", what, i, want, err)
			}
		}
	}
}

// Parts that are right by themselves must also be all there and in order.
func TestPartsAreAllThere(t *testing.T) {
	file := write(t)
	at := parts(t, file)
	for i := range len(at) - 1 {
		part := file[at[i]:at[i+1]]
		missing := append(bytes.Clone(file[:at[i]]), file[at[i+1]:]...)
		twice := append(bytes.Clone(file[:at[i+1]]), part...)
		twice = append(twice, file[at[i+1]:]...)
		for what, bad := range map[string][]byte{"missing": missing, "twice": twice} {
			var damaged *dump.DamagedError
			if err := verify(t, bad); !errors.As(err, &damaged) {
				t.Errorf("part %d is there %s: %v", i, what, err)
			}
		}
	}
	if err := verify(t, append(bytes.Clone(file), 0)); err == nil {
		t.Error("a dump with something behind its end was accepted")
	}
	if err := verify(t, nil); err == nil {
		t.Error("an empty file was accepted")
	}
}

// The end of another dump of the same volume does not fit.
func TestEndOfAnotherDump(t *testing.T) {
	one, two := write(t), write(t)
	a, b := parts(t, one), parts(t, two)
	if len(a) != len(b) {
		t.Fatalf("dumps of %d and %d parts", len(a), len(b))
	}
	mixed := append(bytes.Clone(one[:a[len(a)-2]]), two[b[len(b)-2]:]...)
	if err := verify(t, mixed); err == nil {
		t.Error("it was accepted")
	}
}

// What was loaded half is no source, and is loaded again from the start.
func TestFailedLoad(t *testing.T) {
	file := write(t)
	to := model.NewReplica(nil)
	open := func(context.Context, meta.Volume) (dump.Target, error) { return to, nil }
	for _, cut := range []int{len(file) / 2, len(file) - 1} {
		if _, err := dump.Load(t.Context(), bytes.NewReader(file[:cut]), open, dump.Options{}); err == nil {
			t.Fatal("half a dump was loaded")
		}
		if s, err := to.State(t.Context()); err != nil || s.Role != meta.RoleBootstrapping {
			t.Fatalf("after half a load: %+v, %v", s, err)
		}
		if err := to.StartSession(t.Context(), meta.SessionInfo{}); !errors.Is(err, meta.ErrReadOnly) {
			t.Fatalf("a session on half a load: %v", err)
		}
	}
	sum, err := dump.Load(t.Context(), bytes.NewReader(file), open, dump.Options{})
	if err != nil || sum.Counts.Records == 0 || sum.Volume != "sample" {
		t.Fatalf("%+v, %v", sum, err)
	}
	if s, err := to.State(t.Context()); err != nil || s.Role != meta.RoleSource || s.Position != sum.Position {
		t.Fatalf("after the load: %+v, %v", s, err)
	}
	if err := to.StartSession(t.Context(), meta.SessionInfo{}); err != nil {
		t.Fatal(err)
	}
}

// A copy that is not complete is nothing to dump, and a log that was trimmed too far is told.
func TestWriteRefuses(t *testing.T) {
	if _, err := dump.Write(t.Context(), &bytes.Buffer{}, incomplete{sample(t)}, dump.Options{}); !errors.Is(err, dump.ErrIncomplete) {
		t.Errorf("a dump of half a copy: %v", err)
	}
	trimmed := &forgetful{busy{Engine: sample(t), t: t}}
	if _, err := dump.Write(t.Context(), &bytes.Buffer{}, trimmed, dump.Options{Rows: 10}); !errors.Is(err, meta.ErrGap) {
		t.Errorf("a dump without the log: %v", err)
	}
}

type incomplete struct{ *model.Engine }

func (i incomplete) State(ctx context.Context) (meta.State, error) {
	s, err := i.Engine.State(ctx)
	s.Role = meta.RoleBootstrapping
	return s, err
}

type forgetful struct{ busy }

func (f *forgetful) State(ctx context.Context) (meta.State, error) {
	s, err := f.busy.State(ctx)
	if f.n > 0 && err == nil {
		_, err = f.TrimLog(ctx, 0)
	}
	return s, err
}

func FuzzVerify(f *testing.F) {
	file := write(f)
	f.Add(file)
	f.Add(file[:100])
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = dump.Verify(t.Context(), bytes.NewReader(b), dump.Options{})
	})
}
