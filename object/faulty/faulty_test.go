package faulty_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mirrorfs/object"
	"mirrorfs/object/faulty"
	"mirrorfs/object/mem"
	"mirrorfs/object/objecttest"
)

func TestWithoutFaults(t *testing.T) {
	objecttest.Run(t, func(t *testing.T) object.Store {
		return faulty.New(mem.New(t.Name()), faulty.Options{Seed: 1})
	})
}

// run makes the same calls from several goroutines, each with keys of its own,
// and tells what came of them.
func run(t *testing.T, seed uint64) [4]string {
	t.Helper()
	s := faulty.New(mem.New("t"), faulty.Options{Seed: seed, All: faulty.Rates{Error: 0.2, After: 0.2, Cut: 0.3, Corrupt: 0.2}})
	var told [4]string
	var wg sync.WaitGroup
	for i := range told {
		wg.Go(func() {
			for n := range 50 {
				key := fmt.Sprintf("%d/%d", i, n%5)
				told[i] += fmt.Sprintf("put %v\n", s.Put(t.Context(), key, []byte("0123456789")))
				r, err := s.Get(t.Context(), key, 0, -1)
				told[i] += fmt.Sprintf("get %v\n", err)
				if err == nil {
					data, err := io.ReadAll(r)
					told[i] += fmt.Sprintf("read %q %v\n", data, err)
				}
			}
		})
	}
	wg.Wait()
	return told
}

func TestRepeats(t *testing.T) {
	first, second, other := run(t, 1), run(t, 1), run(t, 2)
	if first != second {
		t.Error("one seed gave two runs")
	}
	if first == other {
		t.Error("two seeds gave one run")
	}
}

func TestEachFault(t *testing.T) {
	data := bytes.Repeat([]byte("x"), 1000)
	for _, test := range []struct {
		name  string
		rates faulty.Rates
		put   error // what Put gives
		there bool  // whether its object is there
		get   error // what Get and reading give
		bytes bool  // whether they give the right bytes
	}{
		{"none", faulty.Rates{}, nil, true, nil, true},
		{"error", faulty.Rates{Error: 1}, faulty.ErrInjected, false, faulty.ErrInjected, false},
		{"throttle", faulty.Rates{Throttle: 1}, object.ErrThrottled, false, object.ErrThrottled, false},
		{"hang", faulty.Rates{Hang: 1}, context.DeadlineExceeded, false, context.DeadlineExceeded, false},
		{"after", faulty.Rates{After: 1}, faulty.ErrInjected, true, nil, true},
		{"slow", faulty.Rates{Slow: 1}, nil, true, nil, true},
		{"cut", faulty.Rates{Cut: 1}, nil, true, io.ErrUnexpectedEOF, false},
		{"short", faulty.Rates{Short: 1}, nil, true, nil, false},
		{"corrupt", faulty.Rates{Corrupt: 1}, nil, true, nil, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			inner := mem.New("t")
			if err := inner.Put(t.Context(), "old", data); err != nil {
				t.Fatal(err)
			}
			s := faulty.New(inner, faulty.Options{Seed: 7, All: test.rates, SlowFor: time.Second})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := s.Put(ctx, "new", data); !errors.Is(err, test.put) {
				t.Errorf("%s: Put: %v, want %v", test.name, err, test.put)
			}
			if _, err := inner.Head(t.Context(), "new"); (err == nil) != test.there {
				t.Errorf("%s: afterwards Head: %v", test.name, err)
			}
			ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var got []byte
			r, err := s.Get(ctx, "old", 0, -1)
			if err == nil {
				got, err = io.ReadAll(r)
			}
			if !errors.Is(err, test.get) || bytes.Equal(got, data) != test.bytes {
				t.Errorf("%s: Get gave %d bytes, %v", test.name, len(got), err)
			}
			if (s.Faults() > 0) != (test.rates != faulty.Rates{}) {
				t.Errorf("%s: %d faults", test.name, s.Faults())
			}
		})
	}
}

func TestSet(t *testing.T) {
	s := faulty.New(mem.New("t"), faulty.Options{})
	s.Set(faulty.Put, faulty.Rates{Error: 1})
	if err := s.Put(t.Context(), "key", nil); !errors.Is(err, faulty.ErrInjected) {
		t.Error(err)
	}
	if err := s.Delete(t.Context(), "key"); err != nil {
		t.Error(err)
	}
	s.SetAll(faulty.Rates{})
	if err := s.Put(t.Context(), "key", nil); err != nil {
		t.Error(err)
	}
}
