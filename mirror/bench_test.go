package mirror_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"mirrorfs/meta"
	"mirrorfs/mirror"
)

// BenchmarkBacklog measures how fast a runner applies what has gathered: creates, in
// records per second, and the processor time of both Redis for each.
func BenchmarkBacklog(b *testing.B) {
	for _, rtt := range []time.Duration{0, 50 * time.Millisecond} {
		b.Run(fmt.Sprintf("rtt=%v", rtt), func(b *testing.B) {
			s := redisWorld(b)
			if rtt > 0 {
				s.proxy.delay(rtt)
			}
			s.add(b)
			cfg := s.config(b)
			cfg.CallTimeout = time.Minute
			cfg.Logger = nil
			stop := start(b, cfg)
			s.wait(b)
			stop()
			before := serverCPU(b, s.sourceAddr)
			fill(b, s, b.N)
			made := serverCPU(b, s.sourceAddr) - before
			before = serverCPU(b, s.near)
			b.ResetTimer()
			start(b, cfg)
			s.wait(b)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
			b.ReportMetric(made*1e6/float64(b.N), "source-us/record")
			b.ReportMetric((serverCPU(b, s.near)-before)*1e6/float64(b.N), "mirror-us/record")
		})
	}
}

// serverCPU is how much processor time a Redis has used, in seconds.
func serverCPU(b *testing.B, address string) float64 {
	b.Helper()
	sum := 0.0
	for line := range strings.Lines(cli(b, address, "INFO", "cpu")) {
		var seconds float64
		for _, kind := range []string{"user", "sys"} {
			if n, _ := fmt.Sscanf(line, "used_cpu_"+kind+":%g", &seconds); n == 1 {
				sum += seconds
			}
		}
	}
	return sum
}

// fill makes n files in directories of a thousand, by many clients at once.
func fill(b *testing.B, s *redisSites, n int) {
	b.Helper()
	e := session(b, s.local(b))
	var group sync.WaitGroup
	for worker := range 16 {
		group.Go(func() {
			parent := meta.RootIno
			for i := worker; i < n; i += 16 {
				if i/16%1000 == 0 {
					parent = change(b, e, dir(meta.RootIno, fmt.Sprint("d", i))).Node.Ino
				}
				change(b, e, file(parent, fmt.Sprint("f", i)))
			}
		})
	}
	group.Wait()
}

// BenchmarkCopy measures the first copy, in inodes per second.
func BenchmarkCopy(b *testing.B) {
	s := redisWorld(b)
	s.proxy.delay(50 * time.Millisecond)
	fill(b, s, b.N)
	s.add(b)
	cfg := s.config(b)
	cfg.CallTimeout = time.Minute
	cfg.Logger = nil
	b.ResetTimer()
	start(b, cfg)
	s.wait(b)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "inodes/s")
}

// BenchmarkForward measures what a mount of a mirror waits for 50 ms away from its
// source, with a runner that follows: a change, and the reads that follow it.
func BenchmarkForward(b *testing.B) {
	s := redisWorld(b)
	s.proxy.delay(50 * time.Millisecond)
	s.add(b)
	cfg := s.config(b)
	cfg.CallTimeout, cfg.TailWait, cfg.Logger = time.Minute, time.Second, nil
	start(b, cfg)
	s.wait(b)
	e, err := mirror.NewEngine(mirror.EngineOptions{Near: s.nearClient(), Dial: s.client})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = e.Close() })
	session(b, e)
	d := change(b, e, dir(meta.RootIno, "d")).Node.Ino
	i := 0
	create := func(b *testing.B) {
		i++
		change(b, e, file(d, fmt.Sprint("f", i)))
	}
	b.Run("Create", func(b *testing.B) {
		for b.Loop() {
			create(b)
		}
	})
	after := func(name string, read func() error) {
		b.Run("Then"+name, func(b *testing.B) {
			var spent time.Duration
			for b.Loop() {
				create(b)
				begin := time.Now()
				if err := read(); err != nil {
					b.Fatal(err)
				}
				spent += time.Since(begin)
			}
			b.ReportMetric(float64(spent.Microseconds())/float64(b.N), "read-us/op")
		})
	}
	after("Lookup", func() error {
		_, err := e.Lookup(b.Context(), d, fmt.Sprint("f", i))
		return err
	})
	after("GetAttrOfParent", func() error {
		_, err := e.GetAttr(b.Context(), d)
		return err
	})
	after("ReadDir", func() error {
		_, err := e.ReadDir(b.Context(), d, "", 4096)
		return err
	})
	s.wait(b)
	b.Run("LookupAtRest", func(b *testing.B) {
		for b.Loop() {
			if _, err := e.Lookup(b.Context(), d, "f1"); err != nil {
				b.Fatal(err)
			}
		}
	})
	near := s.near2()
	b.Run("LookupOfRedisAlone", func(b *testing.B) {
		for b.Loop() {
			if _, err := near.Lookup(b.Context(), d, "f1"); err != nil {
				b.Fatal(err)
			}
		}
	})
}
