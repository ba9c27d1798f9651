package chaos_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mirrorfs/integration/harness"
	"mirrorfs/meta"
	"mirrorfs/object/s3/s3test"
)

// hang ends a test that hangs. It judges no speed.
const hang = 5 * time.Minute

// site is one place: its Redis, its bucket, the runner and a mount.
type site struct {
	name    string
	server  *harness.Server
	program *harness.World           // mirrorfs with this site's ways to the buckets
	reach   map[*site]string         // the other sites' metadata, as this one reaches it
	wires   map[string]*harness.Wire // what those ways go over, and those to the buckets
	runner  *harness.Process         // nil when there is none
	mount   *harness.Mount           // nil when there is none
	access  atomic.Pointer[access]   // of the mount, for writers and readers
}

func (s *site) meta() string { return s.server.Addr() }

// access is a mount as programs hold it, by its root: when the mount is gone, so are
// all paths, and nothing is written into the directory below it.
type access struct {
	site *site
	root *os.File
}

func (a *access) path(elem ...string) string {
	return filepath.Join(append([]string{fmt.Sprintf("/proc/self/fd/%d", a.root.Fd())}, elem...)...)
}

// volume is what a run has going.
type volume struct {
	t      *testing.T
	plan   *plan
	sites  []*site
	count  uint64 // of groups of writers
	source *site  // of the test's goroutine
	roles  atomic.Pointer[roles]
	sharp  bool // kernels keep no names and attributes
	// struck counts the moments in which what was acknowledged was lost.
	struck atomic.Int64
	// unequal is odd while what readers have seen may be taken back, or roles are exchanged.
	unequal atomic.Int64
	// publishing is held alone by who compares sites.
	publishing sync.RWMutex
}

// newVolume sets up what a plan says: sites, each with a wire to every other site's Redis and
// to every bucket.
func newVolume(t *testing.T, p *plan) *volume {
	t.Helper()
	v := &volume{t: t, plan: p, sharp: p.Sharp}
	w := harness.New(t, program)
	cloud := s3test.Start(t)
	ends := map[*site]string{}
	for i := range p.Modes {
		s := &site{name: string(rune('a' + i)), reach: map[*site]string{}, wires: map[string]*harness.Wire{}}
		s.server = w.Server(s.name, "--auto-aof-rewrite-percentage", "0")
		end, _ := w.Link(s.meta(), 0) // toxiproxy knows TCP only
		ends[s] = end.Addr()
		v.sites = append(v.sites, s)
	}
	for _, s := range v.sites {
		var ways strings.Builder
		for _, to := range v.sites {
			wire := w.Wire(s.name+" to bucket-"+to.name, strings.TrimPrefix(cloud.Endpoint, "http://"))
			s.wires["bucket-"+to.name] = wire
			fmt.Fprintf(&ways, "[profile bucket-%s]\nendpoint_url = http://%s\n", to.name, wire.Addr())
			fmt.Fprintf(&ways, "aws_access_key_id = %s\naws_secret_access_key = %s\n", cloud.AccessKey, cloud.SecretKey)
			if to != s {
				wire := w.Wire(s.name+" to redis-"+to.name, ends[to])
				s.wires["redis-"+to.name] = wire
				s.reach[to] = "redis://" + wire.Addr() + "/0"
			}
		}
		file := filepath.Join(w.Dir("aws"), s.name)
		must(t, os.WriteFile(file, []byte(ways.String()), 0o600))
		s.program = w.With("AWS_CONFIG_FILE="+file, "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true")
	}
	v.start()
	return v
}

func bucketOf(s *site) string {
	return fmt.Sprintf("s3://bucket-%s?region=%s&path_style=true&profile=bucket-%s", s.name, s3test.Region, s.name)
}

// start formats the volume, and begins at each site what runs there.
func (v *volume) start() {
	v.t.Helper()
	v.source = v.sites[0]
	v.source.program.Run("format", v.source.meta(), "vol", "--bucket", bucketOf(v.source))
	v.mountAt(v.source)
	for i, s := range v.sites[1:] {
		args := []string{"mirror", "add", s.reach[v.source], s.meta(), "--site", s.name, "--data", v.plan.Modes[i+1]}
		if v.plan.Modes[i+1] != "demand" {
			args = append(args, "--bucket", bucketOf(s))
		}
		s.program.Run(args...)
		v.runAt(s)
		v.mountAt(s)
	}
	for _, s := range v.mirrors() {
		v.wait(s)
	}
}

func (v *volume) mirrors() (list []*site) {
	for _, s := range v.sites {
		if s != v.source {
			list = append(list, s)
		}
	}
	return list
}

// mountAt mounts the volume at a site.
func (v *volume) mountAt(s *site) {
	v.t.Helper()
	var flags []string
	if v.sharp {
		flags = []string{"--entry-timeout", "0", "--attr-timeout", "0"}
	}
	s.mount = s.program.Mount(s.name, s.meta(), flags...)
	root, err := os.Open(s.mount.Dir)
	must(v.t, err)
	v.t.Cleanup(func() { _ = root.Close() })
	s.access.Store(&access{site: s, root: root})
}

// crashMount kills a site's mount.
func (v *volume) crashMount(s *site) {
	s.access.Store(nil)
	s.mount.Crash()
	s.mount = nil
}

// runAt runs the mirror at a site.
func (v *volume) runAt(s *site) { s.runner = s.program.Start("mirror", "run", s.meta()) }

func (v *volume) wait(s *site) {
	v.t.Helper()
	s.program.Run("mirror", "wait", s.meta(), "--timeout", hang.String())
}

// restart starts what was killed, or has given up.
func (v *volume) restart() {
	v.t.Helper()
	for _, s := range v.sites {
		if !s.server.Running() {
			s.server.Start()
		}
	}
	for _, s := range v.sites {
		// A service would start it again.
		if s.runner == nil && s != v.source || s.runner != nil && !s.runner.Running() {
			v.runAt(s)
		}
		if s.mount == nil {
			v.mountAt(s)
		}
	}
}

// status is what the test reads of mirror status.
type status struct {
	Role     string        `json:"role"`
	State    string        `json:"state"`
	Reason   string        `json:"reason"`
	Position meta.Position `json:"position"`
	Applied  meta.Position `json:"applied"`
}

func (v *volume) status(s *site) (st status) {
	v.t.Helper()
	v.result(s.program.Run("mirror", "status", s.meta(), "--json"), &st)
	return st
}

func (v *volume) result(out string, into any) {
	v.t.Helper()
	if err := json.Unmarshal([]byte(out), into); err != nil {
		v.t.Fatalf("%v: %s", err, out)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// program is the mirrorfs program, built once.
var program string

func TestMain(m *testing.M) {
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
