package integration_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"mirrorfs/cmd/mirrorfs/wan"
	"mirrorfs/integration/harness"
)

// program is the mirrorfs program, built once for all tests.
var program string

func TestMain(m *testing.M) {
	if name := os.Getenv(callName); name != "" {
		if err := makeCall(name, os.Getenv(callDir)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "mfsbin")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(dir) }()
		if program, err = harness.Build(context.Background(), dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// twoSites is a volume with a source at A and a mirror at B beyond a link. Both
// read the same bucket.
type twoSites struct {
	*harness.World
	metaA, metaB string
	link         *wan.Link
}

// newTwoSites formats a volume and adds a mirror; nothing runs yet.
func newTwoSites(t *testing.T, rtt time.Duration, bucket func(*harness.World) string, format ...string) *twoSites {
	t.Helper()
	s := &twoSites{World: harness.New(t, program)}
	s.metaA, s.metaB = s.Redis(), s.Redis()
	var metaAFromB string
	s.link, metaAFromB = s.Link(s.metaA, rtt)
	s.Run(append([]string{"format", s.metaA, "vol", "--bucket", bucket(s.World)}, format...)...)
	s.Run("mirror", "add", metaAFromB, s.metaB, "--site", "b")
	return s
}

// runMirror starts the runner of B.
func (s *twoSites) runMirror() *harness.Process {
	return s.Start("mirror", "run", s.metaB)
}

// wait returns when B has all that was acknowledged at A.
func (s *twoSites) wait() { s.Run("mirror", "wait", s.metaB, "--timeout", "5m") }

func fileBucket(w *harness.World) string { return w.FileBucket("bucket") }

func s3Bucket(w *harness.World) string { return w.S3Bucket("bucket") }
