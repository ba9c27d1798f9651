package object

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
)

// Probe finds out whether a store can be used, before anything depends on it:
// whether its credentials may write, read, list and delete, and whether it honours
// what not every server that takes it does: put-if-absent and ranges. It works on
// one object, probe/<random>, and removes it. The error says what the store cannot
// do; it wraps ErrInvalid if no other credentials would help.
func Probe(ctx context.Context, s Store) (err error) {
	key := "probe/" + rand.Text()
	first, second := []byte("first "+key), []byte("second "+key)
	if err := s.Put(ctx, key, first); err != nil {
		return fmt.Errorf("writing to %s: %w", s, err)
	}
	defer func() {
		if deleteErr := s.Delete(ctx, key); deleteErr != nil {
			err = errors.Join(err, fmt.Errorf("deleting from %s: %w", s, deleteErr))
		}
	}()
	switch err := s.PutIfAbsent(ctx, key, second); {
	case err == nil:
		return fmt.Errorf("%s replaces objects on put-if-absent: %w", s, ErrInvalid)
	case !errors.Is(err, ErrExist):
		return fmt.Errorf("put-if-absent to %s: %w", s, err)
	}
	got, err := readAll(ctx, s, key, int64(len(first))+1)
	if err != nil {
		return fmt.Errorf("reading from %s: %w", s, err)
	}
	if !bytes.Equal(got, first) {
		return fmt.Errorf("%s gives other bytes than were put: %w", s, ErrInvalid)
	}
	if got, err = readAll(ctx, s, key, 5); err != nil || string(got) != "first" {
		return fmt.Errorf("%s gives %q for 5 bytes of %q: %w", s, got, first, errors.Join(err, ErrInvalid))
	}
	found, err := s.List(ctx, key, "", 1)
	if err != nil {
		return fmt.Errorf("listing %s: %w", s, err)
	}
	if len(found) != 1 || found[0].Key != key || found[0].Size != int64(len(first)) {
		return fmt.Errorf("%s does not list what was put: %w", s, ErrInvalid)
	}
	return nil
}
