package bucket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"mirrorfs/object"
)

// oneWinner lets several callers at both clients make the same object at once.
func (c *checking) oneWinner(ctx context.Context) Finding {
	const rounds, callers = 5, 8
	for round := range rounds {
		key := c.key(fmt.Sprintf("race-%d", round))
		var winners atomic.Int32
		err := each(callers, callers, func(i int) error {
			err := c.client(i).PutIfAbsent(ctx, key, fmt.Appendf(nil, "caller %d", i))
			if err == nil {
				winners.Add(1)
			}
			if errors.Is(err, object.ErrExist) {
				return nil
			}
			return err
		})
		if err != nil {
			return failed(err)
		}
		if n := winners.Load(); n != 1 {
			return wrong("%d of %d callers at once made the same object", n, callers)
		}
	}
	return ok("of %d callers at once, %d times", callers, rounds)
}

func (c *checking) client(i int) object.Store {
	if i%2 == 0 {
		return c.near
	}
	return c.far
}

// consistency looks through one client at what the other has just done, on many objects.
func (c *checking) consistency(ctx context.Context) Finding {
	const objects = 32
	err := each(objects, c.opts.Connections, func(i int) error {
		key := c.key(fmt.Sprintf("seen-%d", i))
		return c.watch(ctx, c.client(i), c.client(i+1), key)
	})
	if err != nil {
		return failed(err)
	}
	return ok("%d objects written, replaced and deleted by one client, and seen so by another", objects)
}

// watch takes an object through its life at one client. That it was asked for before it was
// there makes caches on the way show.
func (c *checking) watch(ctx context.Context, writer, reader object.Store, key string) error {
	see := func(after string, want []byte) error {
		got, err := readAll(ctx, reader, key, 0, -1)
		if want == nil && errors.Is(err, object.ErrNotExist) {
			err = nil
		}
		if err != nil {
			return fmt.Errorf("reading after %s: %w", after, err)
		}
		if !bytes.Equal(got, want) {
			return object.Invalidf("%q was read after %s", got, after)
		}
		found, err := reader.List(ctx, key, "", 1)
		if err != nil {
			return err
		}
		if listed := len(found) == 1 && found[0].Key == key; listed != (want != nil) {
			return object.Invalidf("after %s a listing shows %v", after, found)
		}
		return nil
	}
	one, two := []byte("one "+key), []byte("two "+key)
	if err := see("nothing", nil); err != nil {
		return err
	}
	if err := writer.PutIfAbsent(ctx, key, one); err != nil {
		return err
	}
	if err := see("a put", one); err != nil {
		return err
	}
	if err := writer.Put(ctx, key, two); err != nil {
		return err
	}
	if err := see("a replacement", two); err != nil {
		return err
	}
	if err := writer.Delete(ctx, key); err != nil {
		return err
	}
	return see("a deletion", nil)
}
