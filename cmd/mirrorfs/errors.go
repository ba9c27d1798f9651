package main

import (
	"errors"
	"fmt"
	"io"
)

// usageError is a command line that cannot be meant: exit code 2.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// usagef makes an error of wrong usage.
func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// errSilent ends a command with exit code 1 that has printed all there is to say.
var errSilent = errors.New("failed")

// hintError is an error with the next thing to try.
type hintError struct {
	err  error
	hint string
}

func (e *hintError) Error() string { return e.err.Error() }
func (e *hintError) Unwrap() error { return e.err }

// hintf adds to err what the reader can do about it.
func hintf(err error, format string, args ...any) error {
	return &hintError{err: err, hint: fmt.Sprintf(format, args...)}
}

// printError writes an error, and what to do about it, on stderr.
func (c *cli) printError(err error) {
	fmt.Fprintf(c.stderr, "mirrorfs: %v\n", err)
	var usage *usageError
	if errors.As(err, &usage) {
		fmt.Fprintln(c.stderr, "Run it with --help to see how it is used.")
		return
	}
	writeHints(c.stderr, err)
}

func writeHints(w io.Writer, err error) {
	for err != nil {
		var h *hintError
		if !errors.As(err, &h) {
			return
		}
		fmt.Fprintf(w, "  try: %s\n", h.hint)
		err = h.err
	}
}
