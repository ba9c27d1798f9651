package integration_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"mirrorfs/integration/harness"
)

// guide is what stands for the machines of docs/operations/drill.md.
type guide struct {
	*harness.World
	t       *testing.T
	a       *harness.Server
	unit    string                       // the runner's service, as the guide has it
	names   map[string]*strings.Replacer // by machine: what its names are here
	metas   map[string]string
	runners map[string]*harness.Process
	mounts  map[string]int // the process of the mount, by machine
	mountA  string
}

func newGuide(t *testing.T) *guide {
	g := &guide{World: harness.New(t, program), t: t, names: map[string]*strings.Replacer{}, runners: map[string]*harness.Process{}, mounts: map[string]int{}}
	g.a = g.Server("a")
	b := g.Server("b")
	_, aFromB := g.Link(g.a.Addr(), 0)
	g.metas = map[string]string{"a": g.a.Addr(), "b": b.Addr()}
	bucketA, bucketB := g.FileBucket("bucket-a"), g.FileBucket("bucket-b")
	g.mountA = g.MountPoint("a")
	for machine, meta := range map[string]struct{ a, mount string }{"a": {g.a.Addr(), g.mountA}, "b": {aFromB, g.MountPoint("b")}} {
		g.names[machine] = strings.NewReplacer(
			"rediss://redis.a.example/0", meta.a, "rediss://redis.b.example/0", b.Addr(),
			"s3://models-a?region=eu-central-1", bucketA, "s3://models-b?region=us-east-1", bucketB,
			"/mnt/models", meta.mount, "/var/cache/mirrorfs/models", g.Dir("cache-"+machine), "/var/backups", g.Dir("backups"),
			"localhost:9101", "localhost:0",
		)
	}
	return g
}

// mountProcess finds the process in what a mount in the background prints.
var mountProcess = regexp.MustCompile(`^mounted on .*\(process (\d+)`)

// line runs a line of the guide on a machine, and holds what it prints against what the guide shows.
func (g *guide) line(machine, line string, shown []string) {
	g.t.Helper()
	g.t.Logf("%s$ %s", machine, line)
	if action, ok := strings.CutPrefix(line, "systemctl "); ok {
		g.service(machine, action)
		return
	}
	r := g.Shell(g.names[machine].Replace(line))
	if r.Code != 0 {
		g.t.Fatalf("%s$ %s: exit code %d\n%s%s", machine, line, r.Code, r.Stdout, r.Stderr)
	}
	if m := mountProcess.FindStringSubmatch(r.Stdout); m != nil {
		pid, err := strconv.Atoi(m[1])
		must(g.t, err)
		g.mounts[machine] = pid
	}
	if want := strings.Join(shown, "\n"); want != "" && strings.TrimSpace(r.Stdout) != want {
		g.t.Errorf("%s$ %s prints %q, and in the guide %q", machine, line, r.Stdout, want)
	}
}

// service does what systemd would with the runner: the line of its unit, with the machine's own Redis.
func (g *guide) service(machine, action string) {
	g.t.Helper()
	if action != "enable --now mirrorfs-mirror" && action != "restart mirrorfs-mirror" {
		g.t.Fatalf("systemctl %s: no such action here", action)
	}
	if old := g.runners[machine]; old != nil {
		old.Stop()
	}
	_, line, _ := strings.Cut(g.unit, "\nExecStart=/usr/local/bin/mirrorfs ")
	line, _, _ = strings.Cut(line, "\n")
	line = strings.ReplaceAll(line, "rediss://redis.b.example/0", g.metas[machine])
	g.runners[machine] = g.Start(strings.Fields(g.names[machine].Replace(line))...)
}

// event is what the guide cannot do by a command.
func (g *guide) event(what string) {
	g.t.Helper()
	g.t.Log(what)
	switch what {
	case "lose a":
		g.runners["a"].Kill()
		must(g.t, syscall.Kill(g.mounts["a"], syscall.SIGKILL))
		g.Run("umount", g.mountA)
		g.a.Kill()
	case "restore a":
		g.a.Start()
	default:
		g.t.Fatalf("the guide says %q", what)
	}
}

// Each command of the guide does what the guide says, in its order.
func TestGuide(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(operations, "drill.md"))
	must(t, err)
	g := newGuide(t)
	_, unit, _ := strings.Cut(string(text), "```ini\n")
	g.unit, _, _ = strings.Cut(unit, "```")
	commands := 0
	for i, part := range strings.Split(string(text), "```") {
		if i%2 == 0 {
			if _, event, ok := strings.Cut(part, "<!-- test: "); ok {
				event, _, _ = strings.Cut(event, " -->")
				g.event(event)
			}
			continue
		}
		lines, ok := strings.CutPrefix(part, "console\n")
		if !ok {
			continue
		}
		all := strings.Split(strings.TrimSpace(lines), "\n")
		for n := 0; n < len(all); {
			machine, line, ok := strings.Cut(all[n], "$ ")
			if !ok || g.names[machine] == nil {
				t.Fatalf("%q is no command", all[n])
			}
			var shown []string
			for n++; n < len(all) && !strings.HasPrefix(all[n], "a$ ") && !strings.HasPrefix(all[n], "b$ "); n++ {
				shown = append(shown, all[n])
			}
			g.line(machine, line, shown)
			commands++
		}
	}
	if commands < 30 {
		t.Errorf("%d commands were run: the guide has more", commands)
	}
}
