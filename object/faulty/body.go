package faulty

import (
	"errors"
	"fmt"
	"io"

	"mirrorfs/object"
)

// spoil reads the whole body, so that the place of the fault can be anywhere in
// it, and gives it again with the fault.
func spoil(r io.ReadCloser, f fate, key string) (io.ReadCloser, error) {
	data, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	b := &body{data: data, end: io.EOF, version: object.VersionOf(r)}
	if len(data) == 0 {
		if f.Cut > 0 {
			b.end = cutError(key)
		}
		return b, nil
	}
	at := f.roll.IntN(len(data))
	switch {
	case f.Cut > 0:
		b.data, b.end = data[:at], cutError(key)
	case f.Short > 0:
		b.data = data[:at]
	default:
		data[at] ^= 1 << f.roll.IntN(8)
	}
	return b, nil
}

func cutError(key string) error {
	return object.Fail(string(Get), key, fmt.Errorf("%w: %w", ErrInjected, io.ErrUnexpectedEOF))
}

// body is what is left of a body, and how it ends.
type body struct {
	data    []byte
	end     error
	version string
}

func (b *body) Read(p []byte) (int, error) {
	if len(b.data) == 0 {
		return 0, b.end
	}
	n := copy(p, b.data)
	b.data = b.data[n:]
	return n, nil
}

func (b *body) Version() string { return b.version }
func (b *body) Close() error    { return nil }
