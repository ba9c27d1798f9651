package main

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"

	"mirrorfs/meta/redis"
)

func noEnv(string) string { return "" }

// NewRoot is newRoot for tests.
func NewRoot(stdout, stderr io.Writer) *cobra.Command {
	return newRoot(newCLI(stdout, stderr, noEnv))
}

// Run is run for tests, with an empty environment.
func Run(ctx context.Context, stdout, stderr io.Writer, args []string) int {
	return run(ctx, newCLI(stdout, stderr, noEnv), args)
}

// ParseBytes and FormatBytes are for tests.
func ParseBytes(s string) (int64, error) { return parseBytes(s) }

// FormatBytes is formatBytes for tests.
func FormatBytes(n int64) string { return formatBytes(n) }

// FlagString is how a size is shown as a flag's default.
func FlagString(n int64) string {
	b := byteSize(n)
	return b.String()
}

// KeepLog runs one round of what looks after a source's log.
func KeepLog(ctx context.Context, e *redis.Engine, keep int) error {
	k := &logKeeper{c: newCLI(io.Discard, io.Discard, noEnv), engine: e}
	return errors.Join(k.round(ctx, keep), k.close())
}
