package bucket

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"mirrorfs/object"
)

// CheckOptions of Check; zero fields take the default given with each.
type CheckOptions struct {
	BlockBytes  int           // of the objects whose throughput is measured: 4 MiB
	Connections int           // at once, at most: 16
	Throughput  time.Duration // how long each of four measurements of throughput takes: 4 s
	Samples     int           // of each operation's latency: 20
	Now         func() time.Time
}

func (o CheckOptions) withDefaults() CheckOptions {
	setDefault(&o.BlockBytes, 4<<20)
	setDefault(&o.Connections, 16)
	setDefault(&o.Throughput, 4*time.Second)
	setDefault(&o.Samples, 20)
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

func setDefault[T int | time.Duration](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}

// Check asks whether a bucket will do: credentials and permissions, the clock, consistency
// between two clients, latency and throughput. near and far are two clients of it, which
// share no connection. It stops where what is left cannot be answered, and then says so.
// Nothing it finds is an error of Check; the end of ctx is.
func Check(ctx context.Context, near, far object.Store, opts CheckOptions) (Report, error) {
	c := &checking{near: near, far: far, opts: opts.withDefaults(), prefix: newPrefix()}
	began := time.Now()
	report := Report{Bucket: near.String()}
	stopped := ""
	for _, q := range c.questions() {
		if err := ctx.Err(); err != nil {
			return Report{}, errors.Join(err, c.cleanUp(ctx))
		}
		finding := Finding{Outcome: Skipped, Detail: "for " + stopped + " failed"}
		if stopped == "" {
			finding = q.ask(ctx)
		}
		finding.Question = q.name
		if finding.Outcome == Failed && q.needed {
			stopped = q.name
		}
		report.Findings = append(report.Findings, finding)
	}
	if err := ctx.Err(); err != nil {
		return Report{}, errors.Join(err, c.cleanUp(ctx))
	}
	if err := c.cleanUp(ctx); err != nil && stopped == "" {
		report.Findings = append(report.Findings, failed(fmt.Errorf("removing what was written below %s: %w", c.prefix, err)))
		report.Findings[len(report.Findings)-1].Question = "clean up"
	}
	report.conclude(time.Since(began))
	return report, nil
}

// checking is a Check under way.
type checking struct {
	near, far object.Store
	opts      CheckOptions
	prefix    string // of all keys
}

// newPrefix is where nobody else works. It makes no directory: a store of files would keep it.
func newPrefix() string { return "probe/" + rand.Text() + "-" }

// question is one that Check asks. What comes after a needed one makes no sense without it.
type question struct {
	name   string
	needed bool
	ask    func(context.Context) Finding
}

func (c *checking) questions() []question {
	return []question{
		{"reach", true, c.reach},
		{"write", true, c.write},
		{"read", true, c.read},
		{"read a range", true, c.readRange},
		{"describe", true, c.head},
		{"list", true, c.list},
		{"put-if-absent", true, c.putIfAbsent},
		{"delete", true, c.delete},
		{"clock", false, c.clock},
		{"one winner", false, c.oneWinner},
		{"consistency", false, c.consistency},
		{"latency", false, c.latency},
		{"throughput, writing", false, c.writing},
		{"throughput, reading", false, c.reading},
	}
}

func (c *checking) key(name string) string { return c.prefix + name }

func (c *checking) first() []byte { return []byte("first " + c.prefix) }

// ok, warn and failed make findings.
func ok(format string, args ...any) Finding {
	return Finding{Outcome: OK, Detail: fmt.Sprintf(format, args...)}
}

func warn(advice, format string, args ...any) Finding {
	return Finding{Outcome: Warning, Advice: advice, Detail: fmt.Sprintf(format, args...)}
}

func failed(err error) Finding {
	return Finding{Outcome: Failed, Detail: err.Error(), Advice: Advice(err)}
}

// wrong is a store that does not keep its promises.
func wrong(format string, args ...any) Finding { return failed(object.Invalidf(format, args...)) }

func (c *checking) reach(ctx context.Context) Finding {
	began := time.Now()
	if _, err := c.near.List(ctx, c.prefix, "", 1); err != nil {
		return failed(err)
	}
	return ok("the first answer came after %v", time.Since(began).Round(time.Millisecond/10))
}

func (c *checking) write(ctx context.Context) Finding {
	if err := c.near.Put(ctx, c.key("one"), c.first()); err != nil {
		return failed(err)
	}
	return ok("")
}

func (c *checking) read(ctx context.Context) Finding {
	switch got, err := readAll(ctx, c.far, c.key("one"), 0, -1); {
	case err != nil:
		return failed(err)
	case !bytes.Equal(got, c.first()):
		return wrong("%q came back of %q", got, c.first())
	}
	switch _, err := readAll(ctx, c.near, c.key("missing"), 0, -1); {
	case err == nil:
		return wrong("an object was read that nobody has written")
	case !errors.Is(err, object.ErrNotExist):
		return failed(fmt.Errorf("an object that does not exist: %w", err))
	}
	return ok("")
}

func (c *checking) readRange(ctx context.Context) Finding {
	switch got, err := readAll(ctx, c.near, c.key("one"), 6, 5); {
	case err != nil:
		return failed(err)
	case string(got) != "probe":
		return wrong("%q came back for bytes 6 to 10 of %q", got, c.first())
	}
	return ok("")
}

func (c *checking) head(ctx context.Context) Finding {
	switch info, err := c.far.Head(ctx, c.key("one")); {
	case err != nil:
		return failed(err)
	case info.Size != int64(len(c.first())):
		return wrong("%d bytes long, it says, of %d", info.Size, len(c.first()))
	}
	return ok("")
}

func (c *checking) list(ctx context.Context) Finding {
	switch found, err := c.far.List(ctx, c.prefix, "", 2); {
	case err != nil:
		return failed(err)
	case len(found) != 1 || found[0].Key != c.key("one") || found[0].Size != int64(len(c.first())):
		return wrong("the one object there is not what it lists: %v", found)
	}
	return ok("")
}

func (c *checking) putIfAbsent(ctx context.Context) Finding {
	switch err := c.far.PutIfAbsent(ctx, c.key("one"), []byte("second")); {
	case err == nil:
		return wrong("it replaces the object that is there")
	case !errors.Is(err, object.ErrExist):
		return failed(err)
	}
	return ok("")
}

func (c *checking) delete(ctx context.Context) Finding {
	if err := c.near.Delete(ctx, c.key("one")); err != nil {
		return failed(err)
	}
	if err := c.near.Delete(ctx, c.key("one")); err != nil {
		return failed(fmt.Errorf("a second time: %w", err))
	}
	// A bucket with versions may take what was deleted for what is there.
	if err := c.near.PutIfAbsent(ctx, c.key("one"), c.first()); err != nil {
		return failed(fmt.Errorf("put-if-absent of what was deleted: %w", err))
	}
	return ok("")
}

// clock compares the time of the store with that of this machine: a signature is good for
// some minutes only.
func (c *checking) clock(ctx context.Context) Finding {
	before := c.opts.Now()
	if err := c.near.Put(ctx, c.key("clock"), nil); err != nil {
		return failed(err)
	}
	after := c.opts.Now()
	info, err := c.near.Head(ctx, c.key("clock"))
	if err != nil {
		return failed(err)
	}
	const stamps = time.Second // stores give whole seconds
	var skew time.Duration
	switch {
	case info.ModTime.IsZero():
		return warn("", "the store tells no times")
	case info.ModTime.Before(before.Add(-stamps)):
		skew = before.Sub(info.ModTime)
	case info.ModTime.After(after.Add(stamps)):
		skew = after.Sub(info.ModTime)
	}
	const much = time.Minute
	if skew.Abs() > much {
		return warn("let both keep time by NTP: a signature that is more than some minutes old or young is refused",
			"this machine's clock is %v %s the store's", skew.Abs().Round(time.Second), word(skew > 0, "ahead of", "behind"))
	}
	return ok("within %v of the store's", max(skew.Abs(), stamps).Round(time.Second))
}

func word(yes bool, a, b string) string {
	if yes {
		return a
	}
	return b
}

// cleanUp removes all that was written, also when ctx has ended.
func (c *checking) cleanUp(ctx context.Context) error { return removeAll(ctx, c.near, c.prefix) }

// cleanUpTime bounds the removal of what was written.
const cleanUpTime = 30 * time.Second

func removeAll(ctx context.Context, s object.Store, prefix string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTime)
	defer cancel()
	for {
		found, err := s.List(ctx, prefix, "", object.MaxListed)
		if err != nil || len(found) == 0 {
			return err
		}
		if err := each(len(found), atOnce, func(i int) error { return s.Delete(ctx, found[i].Key) }); err != nil {
			return err
		}
	}
}

func readAll(ctx context.Context, s object.Store, key string, off, n int64) ([]byte, error) {
	r, err := s.Get(ctx, key, off, n)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	return data, errors.Join(err, r.Close())
}
