package redis

import (
	"context"
	"fmt"
	"math/bits"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"mirrorfs/meta"
)

// scanKeys is how many keys are asked for at once.
const scanKeys = 1000

// eachKey gives the names of a volume's keys, without its prefix, that begin with a letter;
// some more than once.
func (e *Engine) eachKey(ctx context.Context, letter string, each func(ctx context.Context, names []string) error) error {
	pattern := escapeGlob(e.prefix()) + letter + "*"
	for cursor := uint64(0); ; {
		var keys []string
		var next uint64
		err := e.ask(ctx, "scan_keys", func(ctx context.Context) (err error) {
			var node goredis.Cmdable = e.client()
			if cluster, ok := e.client().(*goredis.ClusterClient); ok {
				if node, err = cluster.MasterForKey(ctx, e.key); err != nil {
					return err
				}
			}
			keys, next, err = node.Scan(ctx, cursor, pattern, scanKeys).Result()
			return err
		})
		if err != nil {
			return e.fail(ctx, meta.Error{Op: "scan_keys", Name: e.volume}, err)
		}
		names := make([]string, 0, len(keys))
		for _, key := range keys {
			names = append(names, strings.TrimPrefix(key, e.prefix()))
		}
		if err := each(ctx, names); err != nil {
			return err
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

// Referenced gives the slices that are marked as referenced, some at a time.
func (e *Engine) Referenced(ctx context.Context, each func(slices []uint64)) error {
	return e.eachKey(ctx, "k", func(ctx context.Context, names []string) error {
		for _, name := range names {
			group, err := strconv.ParseUint(name[1:], 10, 48)
			if err != nil {
				continue // no group of slices
			}
			var bitmap string
			err = e.ask(ctx, "get", func(ctx context.Context) (err error) {
				if bitmap, err = e.client().Get(ctx, e.prefix()+name).Result(); err == goredis.Nil { //nolint:errorlint // go-redis gives it bare
					err = nil // all of them were freed meanwhile
				}
				return err
			})
			if err != nil {
				return e.fail(ctx, meta.Error{Op: "referenced", Name: name}, err)
			}
			each(slicesOf(group, bitmap))
		}
		return nil
	})
}

// slicesPerGroup is how many slices one bitmap is for.
const slicesPerGroup = 32768

func slicesOf(group uint64, bitmap string) []uint64 {
	var all []uint64
	for i := range len(bitmap) {
		for b := bitmap[i]; b != 0; {
			first := bits.LeadingZeros8(b)
			b &^= 0x80 >> first
			all = append(all, group*slicesPerGroup+uint64(8*i+first))
		}
	}
	return all
}

// Keyed gives the inodes that have keys of their own, and what for.
func (e *Engine) Keyed(ctx context.Context, each func(ino meta.Ino, what string)) error {
	for letter, what := range map[string]string{"d": "entries", "x": "pages of entries", "c": "extent lists", "a": "extended attributes", "p": "names in several directories"} {
		err := e.eachKey(ctx, letter, func(_ context.Context, names []string) error {
			for _, name := range names {
				number, _, _ := strings.Cut(name[1:], ".")
				if ino, err := strconv.ParseUint(number, 10, 48); err == nil {
					each(meta.Ino(ino), what)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// checkTries bounds how often a directory is looked at again because it changes.
const checkTries = 10

// CheckPages looks whether the pages of a large directory and their index agree. A directory
// that changes all the time is taken for right.
func (e *Engine) CheckPages(ctx context.Context, dir meta.Ino) (string, error) {
	for range checkTries {
		before, err := e.GetAttr(ctx, dir)
		if err != nil {
			return "", nil //nolint:nilerr // it was removed, or is told of elsewhere
		}
		problem, err := e.checkPages(ctx, dir)
		if err != nil || problem == "" {
			return "", err
		}
		if after, err := e.GetAttr(ctx, dir); err == nil && after == before {
			return problem, nil
		}
	}
	return "", nil
}

func (e *Engine) checkPages(ctx context.Context, dir meta.Ino) (string, error) {
	about := meta.Error{Op: "check_pages", Ino: dir}
	number := formatUint(uint64(dir))
	var index []string
	err := e.ask(ctx, "zrange", func(ctx context.Context) (err error) {
		index, err = e.client().ZRange(ctx, e.prefix()+"x"+number, 0, -1).Result()
		return err
	})
	if err != nil {
		return "", e.fail(ctx, about, err)
	}
	seen := map[string]bool{}
	for i, member := range index {
		first, page, ok := strings.Cut(member, "\x00")
		if !ok || i == 0 && member != "\x000" || seen[page] {
			return fmt.Sprintf("its index has the member %q", member), nil
		}
		seen[page] = true
		key := e.prefix() + "d" + number
		if page != "0" {
			key += "." + page
		}
		var names []string
		err := e.ask(ctx, "hkeys", func(ctx context.Context) (err error) {
			names, err = e.client().HKeys(ctx, key).Result()
			return err
		})
		if err != nil {
			return "", e.fail(ctx, about, err)
		}
		if len(names) == 0 && i > 0 {
			return fmt.Sprintf("its index names page %s, which is empty", page), nil
		}
		for _, name := range names {
			next := ""
			if i+1 < len(index) {
				next, _, _ = strings.Cut(index[i+1], "\x00")
			}
			if name < first || next != "" && name >= next {
				return fmt.Sprintf("its entry %q is in page %s, where it is not looked for", name, page), nil
			}
		}
	}
	return "", nil
}
