package mirror_test

import (
	"errors"
	"strings"
	"testing"

	"mirrorfs/meta"
	"mirrorfs/meta/model"
	"mirrorfs/mirror"
)

func TestAddRegistersAndPrepares(t *testing.T) {
	w := modelWorld(t)
	opts := mirror.AddOptions{SourceAddress: "redis://u:secret@source:6379/0", Name: "away"}
	info, err := mirror.Add(t.Context(), w.source, w.near, opts)
	if err != nil {
		t.Fatal(err)
	}
	want := mirror.Info{Source: "redis://u@source:6379/0", SourceSite: 1, Site: 2, Name: "away", Mode: mirror.ModeDemand, VolumeID: "volume-1"}
	if info != want {
		t.Errorf("got %+v, want %+v", info, want)
	}
	if got, err := mirror.Of(t.Context(), w.near); err != nil || got != want {
		t.Errorf("the site says %+v, %v", got, err)
	}
	v, err := w.source.Volume(t.Context())
	if err != nil || v.Sites[2].Name != "away" {
		t.Errorf("the source's sites: %+v, %v", v.Sites, err)
	}
	s, err := w.near.State(t.Context())
	if err != nil || s.Role != meta.RoleBootstrapping {
		t.Errorf("the mirror is %+v, %v", s, err)
	}

	before, _ := w.source.State(t.Context())
	if again, err := mirror.Add(t.Context(), w.source, w.near, opts); err != nil || again != want {
		t.Errorf("again: %+v, %v", again, err)
	}
	if after, _ := w.source.State(t.Context()); after != before {
		t.Error("adding again changed the source")
	}
}

// The source must not trim what a new mirror still needs, before its runner
// has ever run.
func TestAddHoldsTheLog(t *testing.T) {
	w := modelWorld(t)
	w.add(t)
	at, _ := w.source.State(t.Context())
	for range 5 {
		change(t, w.source, meta.Settings{Volume: mustVolume(t, w.source)})
	}
	if _, err := w.source.TrimLog(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	mirrors, err := w.source.Mirrors(t.Context())
	if err != nil || len(mirrors) != 1 {
		t.Fatalf("mirrors: %v, %v", mirrors, err)
	}
	if entries, err := w.source.Tail(t.Context(), mirrors[0].Applied, 100, 0); err != nil || len(entries) < 5 {
		t.Errorf("from %s on there are %d records, %v; the source stood at %s", mirrors[0].Applied, len(entries), err, at.Position)
	}
}

func mustVolume(t testing.TB, s meta.Source) meta.Volume {
	t.Helper()
	v, err := s.Volume(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAddRefuses(t *testing.T) {
	good := mirror.AddOptions{SourceAddress: "redis://source/0", Name: "away"}
	for _, c := range []struct {
		name string
		do   func(w *world) error
		want string
	}{
		{"keep", func(w *world) error {
			o := good
			o.Mode = "keep"
			_, err := mirror.Add(t.Context(), w.source, w.near, o)
			return err
		}, "needs a bucket"},
		{"bucket", func(w *world) error {
			o := good
			o.Bucket = "mem://b"
			_, err := mirror.Add(t.Context(), w.source, w.near, o)
			return err
		}, "leave it out"},
		{"the source itself", func(w *world) error {
			_, err := mirror.Add(t.Context(), w.source, w.source, good)
			return err
		}, "the source itself"},
		{"another volume", func(w *world) error {
			_, err := mirror.Add(t.Context(), w.source, model.New(settings("volume-2"), nil), good)
			return err
		}, "another volume"},
		{"a mirror as source", func(w *world) error {
			w.add(t)
			_, err := mirror.Add(t.Context(), w.near, model.NewReplica(nil), good)
			return err
		}, "not the source"},
		{"a mirror of another source", func(w *world) error {
			w.add(t)
			o := good
			o.SourceAddress = "redis://elsewhere/0"
			_, err := mirror.Add(t.Context(), w.source, w.near, o)
			return err
		}, "redis://source/0"},
		{"another name", func(w *world) error {
			w.add(t)
			o := good
			o.Name = "there"
			_, err := mirror.Add(t.Context(), w.source, w.near, o)
			return err
		}, `holds the mirror "away"`},
		{"a name that is taken", func(w *world) error {
			w.add(t)
			_, err := mirror.Add(t.Context(), w.source, model.NewReplica(nil), good)
			return err
		}, "choose another name"},
		{"the source's name", func(w *world) error {
			o := good
			o.Name = "home"
			_, err := mirror.Add(t.Context(), w.source, w.near, o)
			return err
		}, "is the source"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.do(modelWorld(t))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want it to say %q", err, c.want)
			}
		})
	}
}

func TestRemoveFreesTheLogAndAddMakesANewCopy(t *testing.T) {
	w := modelWorld(t)
	w.add(t)
	stop := start(t, w.config(t))
	w.wait(t)
	stop()
	for range 2 { // it can be repeated
		if _, err := mirror.Remove(t.Context(), w.source, w.near); err != nil {
			t.Fatal(err)
		}
	}
	if m, err := w.source.Mirrors(t.Context()); err != nil || len(m) != 0 {
		t.Errorf("the source still has %+v, %v", m, err)
	}
	if err := mirror.Run(t.Context(), w.config(t)); !errors.Is(err, mirror.ErrRemoved) {
		t.Errorf("running a removed mirror gave %v", err)
	}
	if st := w.status(t); st.State != mirror.StateStalled || !strings.Contains(st.Reason, "removed") {
		t.Errorf("status of a removed mirror: %+v", st)
	}
	if info := w.add(t); info.Site != 3 {
		t.Errorf("added again as site %d: site numbers are not given twice", info.Site)
	}
	start(t, w.config(t))
	w.mustBeEqual(t)
}

// A runner that is running when its mirror is removed ends by itself and leaves
// nothing at the source that would keep its log.
func TestRemoveEndsTheRunner(t *testing.T) {
	w := modelWorld(t)
	w.add(t)
	done := make(chan error, 1)
	go func() { done <- mirror.Run(t.Context(), w.config(t)) }()
	w.wait(t)
	if _, err := mirror.Remove(t.Context(), w.source, w.near); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, mirror.ErrRemoved) {
		t.Errorf("the runner ended with %v", err)
	}
	if m, err := w.source.Mirrors(t.Context()); err != nil || len(m) != 0 {
		t.Errorf("the source still has %+v, %v", m, err)
	}
}
