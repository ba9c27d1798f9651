package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// cli is what every command is given: where to write, the environment, and the
// flags that all share.
type cli struct {
	stdout io.Writer
	stderr io.Writer
	getenv func(string) string

	// log writes to stderr as the flags say. It is set before a command runs.
	log *slog.Logger

	json      bool
	logLevel  string
	logFormat string
}

func newCLI(stdout, stderr io.Writer, getenv func(string) string) *cli {
	return &cli{stdout: stdout, stderr: stderr, getenv: getenv, log: slog.New(slog.DiscardHandler)}
}

// addFlags gives root the flags that every command has.
func (c *cli) addFlags(root *cobra.Command) {
	f := root.PersistentFlags()
	f.BoolVar(&c.json, "json", false, "print the result as JSON")
	f.StringVar(&c.logLevel, "log-level", "info", "least severe log to write: debug, info, warn or error")
	f.StringVar(&c.logFormat, "log-format", "text", "form of the log on stderr: text or json")
}

// setUp makes the logger once the flags are parsed.
func (c *cli) setUp(*cobra.Command, []string) error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.logLevel)); err != nil {
		return usagef("--log-level %q: want debug, info, warn or error", c.logLevel)
	}
	opts := &slog.HandlerOptions{Level: level}
	switch c.logFormat {
	case "text":
		c.log = slog.New(slog.NewTextHandler(c.stderr, opts))
	case "json":
		c.log = slog.New(slog.NewJSONHandler(c.stderr, opts))
	default:
		return usagef("--log-format %q: want text or json", c.logFormat)
	}
	return nil
}

// print writes a result on stdout: v as JSON with --json, else what text writes.
func (c *cli) print(v any, text func(w io.Writer)) error {
	if !c.json {
		var b strings.Builder
		text(&b)
		_, err := io.WriteString(c.stdout, b.String())
		return err
	}
	enc := json.NewEncoder(c.stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("print the result: %w", err)
	}
	return nil
}

// stderrIsTerminal tells whether progress may be drawn.
func (c *cli) stderrIsTerminal() bool {
	f, ok := c.stderr.(*os.File)
	return ok && isTerminal(f)
}
