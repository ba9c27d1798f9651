package metatest

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"time"

	"mirrorfs/meta"
)

// set makes a lock call and wants an outcome.
func (l *lockTest) set(e meta.Engine, q meta.LockRequest, want syscall.Errno) meta.HeldLock {
	l.Helper()
	ctx, cancel := context.WithTimeout(l.Context(), lockPatience)
	defer cancel()
	ans, err := e.SetLock(ctx, q)
	if meta.Errno(err) != want {
		l.Fatalf("%+v: got %v, want %v", q, err, want)
	}
	return ans.Holder
}

// later makes a lock call that waits; the channel gets its outcome.
func (l *lockTest) later(ctx context.Context, e meta.Engine, q meta.LockRequest) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := e.SetLock(ctx, waiting(q))
		done <- err
	}()
	return done
}

// outcome is what a call that waited came to.
func (l *lockTest) outcome(done <-chan error, want syscall.Errno) {
	l.Helper()
	select {
	case err := <-done:
		if meta.Errno(err) != want {
			l.Fatalf("a lock that was waited for: %v, want %v", err, want)
		}
	case <-time.After(lockPatience):
		l.Fatal("a lock is waited for in vain")
	}
}

// areWaiting returns when as many calls wait as it says, if the engine can tell.
func (l *lockTest) areWaiting(n int) {
	l.Helper()
	if l.volume.Waiting == nil {
		return
	}
	for until := time.Now().Add(lockPatience); l.volume.Waiting(l) != n; {
		if time.Now().After(until) {
			l.Fatalf("%d calls wait, want %d", l.volume.Waiting(l), n)
		}
	}
}

// testLockWait: who waits gets the lock when it is released, in whole or in part.
func testLockWait(l *lockTest) {
	for _, kind := range []meta.LockType{meta.LockShared, meta.LockExclusive} {
		l.set(l.a, bytesOf(meta.LockExclusive, 10, 1, 0, 99), 0)
		done := l.later(l.Context(), l.b, bytesOf(kind, 10, 2, 50, 50))
		l.areWaiting(1)
		l.set(l.a, bytesOf(meta.LockNone, 10, 1, 0, 49), 0)
		l.areWaiting(1)
		l.set(l.a, bytesOf(meta.LockNone, 10, 1, 50, 60), 0)
		l.outcome(done, 0)
		l.set(l.a, bytesOf(meta.LockExclusive, 10, 1, 40, 50), syscall.EAGAIN)
		l.set(l.b, bytesOf(meta.LockNone, 10, 2, 0, meta.MaxLockByte), 0)
		l.set(l.a, bytesOf(meta.LockNone, 10, 1, 0, meta.MaxLockByte), 0)
	}
	// A downgrade lets a reader in, and a release of all by AssertLocks everybody.
	l.set(l.a, bytesOf(meta.LockExclusive, 10, 1, 0, 99), 0)
	done := l.later(l.Context(), l.b, bytesOf(meta.LockShared, 10, 2, 50, 50))
	l.areWaiting(1)
	l.set(l.a, bytesOf(meta.LockShared, 10, 1, 0, 99), 0)
	l.outcome(done, 0)
	done = l.later(l.Context(), l.b, bytesOf(meta.LockExclusive, 10, 2, 70, 70))
	l.areWaiting(1)
	if err := l.a.AssertLocks(l.Context(), meta.OwnerLocks{Ino: 10, Kind: meta.LockRange, Owner: 1}); err != nil {
		l.Fatal(err)
	}
	l.outcome(done, 0)
}

// testLockInterrupt: who is interrupted has nothing, and is in nobody's way.
func testLockInterrupt(l *lockTest) {
	l.set(l.a, bytesOf(meta.LockExclusive, 10, 1, 0, 9), 0)
	ctx, cancel := context.WithCancel(l.Context())
	done := l.later(ctx, l.b, bytesOf(meta.LockExclusive, 10, 2, 0, 20))
	l.areWaiting(1)
	cancel()
	l.outcome(done, syscall.EINTR)
	l.set(l.a, bytesOf(meta.LockExclusive, 10, 1, 0, 30), 0)
	l.set(l.a, bytesOf(meta.LockNone, 10, 1, 0, 30), 0)
	if h, err := l.a.GetLock(l.Context(), bytesOf(meta.LockExclusive, 10, 1, 0, 30)); err != nil || h.Type != meta.LockNone {
		l.Errorf("after the interrupt %+v is in the way, %v", h, err)
	}
	over, cancel := context.WithCancel(l.Context())
	cancel()
	if _, err := l.b.SetLock(over, bytesOf(meta.LockExclusive, 10, 2, 0, 0)); !errors.Is(err, syscall.EINTR) {
		l.Errorf("a call that was cancelled before: %v", err)
	}
}

// testLockDeadlock: two and three owners in a circle, of one client and of two.
func testLockDeadlock(l *lockTest) {
	if l.volume.Waiting == nil {
		return // who would be the last to wait, and be refused, cannot be told
	}
	c := l.volume.Open(l)
	start(l, c)
	engines := []meta.Engine{l.a, l.b, c}
	for _, n := range []int{2, 3} {
		ctx, cancel := context.WithCancel(l.Context())
		for i := range n {
			l.set(engines[i], bytesOf(meta.LockExclusive, meta.Ino(10+i), meta.LockOwner(i+1), 0, 9), 0)
		}
		var waits []<-chan error
		for i := range n - 1 {
			waits = append(waits, l.later(ctx, engines[i], bytesOf(meta.LockShared, meta.Ino(11+i), meta.LockOwner(i+1), 5, 5)))
			l.areWaiting(i + 1)
		}
		l.set(engines[n-1], waiting(bytesOf(meta.LockExclusive, 10, meta.LockOwner(n), 9, 9)), syscall.EDEADLK)
		// Who was refused lets go: the others go on, one after the other.
		for i := n - 1; i >= 0; i-- {
			l.set(engines[i], bytesOf(meta.LockNone, meta.Ino(10+i), meta.LockOwner(i+1), 0, 9), 0)
			if i > 0 {
				l.outcome(waits[i-1], 0)
				l.set(engines[i-1], bytesOf(meta.LockNone, meta.Ino(10+i), meta.LockOwner(i), 0, 9), 0)
			}
		}
		cancel()
	}
}

// testLockNoDeadlock: what looks like a circle and is none.
func testLockNoDeadlock(l *lockTest) {
	ctx, cancel := context.WithCancel(l.Context())
	defer cancel()
	// Both of one owner number, but of two sessions.
	l.set(l.a, bytesOf(meta.LockExclusive, 10, 1, 0, 0), 0)
	l.set(l.b, bytesOf(meta.LockExclusive, 11, 1, 0, 0), 0)
	first := l.later(ctx, l.b, bytesOf(meta.LockExclusive, 10, 1, 0, 0))
	l.areWaiting(1)
	// A waiter that gave up waits for nobody.
	cancel()
	l.outcome(first, syscall.EINTR)
	again, stop := context.WithTimeout(l.Context(), 50*time.Millisecond)
	defer stop()
	if _, err := l.a.SetLock(again, waiting(bytesOf(meta.LockExclusive, 11, 1, 0, 0))); !errors.Is(err, syscall.EINTR) {
		l.Errorf("waiting for one who waits no more: %v", err)
	}
}

// testLockConvert: a whole-file lock that is converted is given up first, a range is not.
func testLockConvert(l *lockTest) {
	l.set(l.a, wholeFile(meta.LockShared, 10, 1), 0)
	l.set(l.b, wholeFile(meta.LockShared, 10, 2), 0)
	l.set(l.a, wholeFile(meta.LockExclusive, 10, 1), syscall.EAGAIN)
	l.set(l.b, wholeFile(meta.LockExclusive, 10, 2), 0)
	l.set(l.b, wholeFile(meta.LockShared, 10, 2), 0)
	l.set(l.a, wholeFile(meta.LockShared, 10, 1), 0)
	l.set(l.a, bytesOf(meta.LockShared, 10, 1, 0, 9), 0)
	l.set(l.b, bytesOf(meta.LockShared, 10, 2, 0, 9), 0)
	l.set(l.a, bytesOf(meta.LockExclusive, 10, 1, 0, 9), syscall.EAGAIN)
	l.set(l.b, bytesOf(meta.LockExclusive, 10, 2, 0, 9), syscall.EAGAIN)
	l.set(l.b, bytesOf(meta.LockNone, 10, 2, 0, 9), 0)
	l.set(l.a, bytesOf(meta.LockExclusive, 10, 1, 0, 9), 0)
	l.set(l.a, bytesOf(meta.LockExclusive, 10, 1, 10, 5), syscall.EINVAL)
	l.set(l.a, bytesOf(meta.LockExclusive, 10, 1, 0, 1<<63), syscall.EOVERFLOW)
}

// testLockLimits: one owner's ranges are bounded, and as many as may be still work.
func testLockLimits(l *lockTest) {
	o := meta.OwnerLocks{Ino: 10, Kind: meta.LockRange, Owner: 1}
	for i := range uint64(meta.MaxLockRanges) {
		o.Ranges = append(o.Ranges, meta.LockedRange{Type: meta.LockExclusive, First: 3 * i, Last: 3 * i})
	}
	if err := l.a.AssertLocks(l.Context(), o); err != nil {
		l.Fatal(err)
	}
	l.set(l.a, bytesOf(meta.LockExclusive, 10, 1, 1<<40, 1<<40), syscall.ENOLCK)
	l.set(l.a, bytesOf(meta.LockExclusive, 10, 1, 1, 2), 0) // joins two
	l.set(l.a, bytesOf(meta.LockExclusive, 10, 1, 1<<40, 1<<40), 0)
	h := l.set(l.b, bytesOf(meta.LockShared, 10, 2, 3*5000+1, 3*5001), syscall.EAGAIN)
	if h.First != 3*5001 || h.Owner != 1 || h.Type != meta.LockExclusive {
		l.Errorf("in the way is %+v", h)
	}
	l.set(l.b, bytesOf(meta.LockExclusive, 10, 2, 3*5000+1, 3*5000+2), 0)
	all, err := l.a.SessionLocks(l.Context(), h.Session, 10)
	if err != nil || len(all) != meta.MaxLockRanges {
		l.Errorf("the session has %d locks, %v", len(all), err)
	}
	l.set(l.a, bytesOf(meta.LockNone, 10, 1, 0, meta.MaxLockByte), 0)
	l.set(l.b, bytesOf(meta.LockExclusive, 10, 2, 0, meta.MaxLockByte), 0)
}

// testLockLost: a client that was away for too long loses its locks to who asks for them, and
// can do nothing more in its session.
func testLockLost(l *lockTest) {
	l.set(l.a, bytesOf(meta.LockExclusive, 10, 1, 0, 9), 0)
	l.clock.advance(meta.SessionTTL - time.Second)
	l.ok(l.b.Heartbeat(l.Context(), nil))
	l.set(l.b, bytesOf(meta.LockExclusive, 10, 2, 0, 0), syscall.EAGAIN)
	l.clock.advance(2 * time.Second)
	// Nobody has asked: it comes back as if nothing had happened.
	l.ok(l.a.Heartbeat(l.Context(), nil))
	l.set(l.b, bytesOf(meta.LockExclusive, 10, 2, 0, 0), syscall.EAGAIN)
	l.clock.advance(meta.SessionTTL - time.Second)
	l.ok(l.b.Heartbeat(l.Context(), nil))
	l.clock.advance(2 * time.Second)
	if h, err := l.b.GetLock(l.Context(), bytesOf(meta.LockExclusive, 10, 2, 0, 0)); err != nil || h.Type != meta.LockNone {
		l.Errorf("the lock of one who is away counts: %+v, %v", h, err)
	}
	l.set(l.b, bytesOf(meta.LockExclusive, 10, 2, 0, 0), 0)
	for what, err := range map[string]error{
		"heartbeat": l.a.Heartbeat(l.Context(), nil),
		"assertion": l.a.AssertLocks(l.Context(), meta.OwnerLocks{Ino: 10, Kind: meta.LockRange, Owner: 1}),
		"change":    changeError(l.a.Change(l.Context(), meta.Reserve{Count: 1})),
		"lock":      lockError(l.a.SetLock(l.Context(), bytesOf(meta.LockShared, 77, 1, 0, 0))),
	} {
		if !errors.Is(err, meta.ErrSessionEnded) {
			l.Errorf("%s of a session that lost its locks: %v", what, err)
		}
	}
	start(l, l.a)
	l.set(l.a, bytesOf(meta.LockExclusive, 10, 1, 0, 0), syscall.EAGAIN)
	l.set(l.a, bytesOf(meta.LockExclusive, 10, 1, 1, 9), 0) // nothing is left of the old ones
}

func changeError(_ meta.Result, err error) error { return err }

func lockError(_ meta.LockAnswer, err error) error { return err }

func (l *lockTest) ok(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

// testLockSweep: what ended sessions leave is removed, once, and who waits for it goes on.
func testLockSweep(l *lockTest) {
	for i := range 10 {
		l.set(l.a, bytesOf(meta.LockExclusive, meta.Ino(10+i), 1, 0, 9), 0)
	}
	done := l.later(l.Context(), l.b, bytesOf(meta.LockExclusive, 13, 2, 0, 0))
	l.areWaiting(1)
	if n, err := l.b.SweepLocks(l.Context(), 100); err != nil || n != 0 {
		l.Fatalf("swept %d locks of a session that lives, %v", n, err)
	}
	l.ok(l.a.EndSession(l.Context()))
	found := 0
	for {
		n, err := l.b.SweepLocks(l.Context(), 3)
		l.ok(err)
		if n == 0 {
			break
		}
		found += n
	}
	l.outcome(done, 0)
	if found != 10 && found != 9 { // the one waited for may have been taken before
		l.Errorf("swept %d locks of 10", found)
	}
}

// testLockCounter: under a lock that many take in turn, no increment is lost.
func testLockCounter(l *lockTest) {
	const each = 40
	counter := 0
	var all sync.WaitGroup
	for i := range 6 {
		e := []meta.Engine{l.a, l.b}[i%2]
		all.Go(func() {
			q := bytesOf(meta.LockExclusive, 10, meta.LockOwner(i+1), 5, 6)
			q.Polite = true
			for range each {
				if _, err := e.SetLock(l.Context(), waiting(q)); err != nil {
					l.Error(err)
					return
				}
				counter++ // the race detector looks on too
				release := q
				release.Type = meta.LockNone
				if _, err := e.SetLock(l.Context(), release); err != nil {
					l.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if counter != 6*each {
		l.Errorf("the counter is %d, want %d", counter, 6*each)
	}
}

// testLockFair: readers who come one after the other, and overlap, do not keep a writer out.
func testLockFair(l *lockTest) {
	ctx, stop := context.WithCancel(l.Context())
	defer stop()
	var readers sync.WaitGroup
	for i := range 4 {
		readers.Go(func() {
			q := waiting(bytesOf(meta.LockShared, 10, meta.LockOwner(i+1), 0, 9))
			q.Polite = true
			for ctx.Err() == nil {
				if _, err := l.a.SetLock(ctx, q); err != nil {
					continue // interrupted at the end
				}
				hold := time.NewTimer(5 * time.Millisecond)
				<-hold.C
				_, _ = l.a.SetLock(context.WithoutCancel(ctx), bytesOf(meta.LockNone, 10, meta.LockOwner(i+1), 0, 9))
			}
		})
	}
	for range 3 {
		l.set(l.b, waiting(bytesOf(meta.LockExclusive, 10, 9, 0, 9)), 0)
		l.set(l.b, bytesOf(meta.LockNone, 10, 9, 0, 9), 0)
	}
	stop()
	readers.Wait()
}
