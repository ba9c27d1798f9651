package chaos_test

import (
	"maps"
	"slices"
	"time"

	"mirrorfs/integration/harness"
)

// undo ends an act.
type undo struct {
	when <-chan time.Time
	do   func()
}

// perform does an act, and returns what ends it.
func (v *volume) perform(a *act) undo {
	v.t.Helper()
	s := v.sites[a.Site]
	end := undo{when: time.After(a.For), do: func() {}}
	switch a.Kind {
	case killMount:
		if s.mount != nil {
			v.crashMount(s)
		}
	case killRunner:
		if s.runner != nil {
			s.runner.Kill()
		}
	case killRedis:
		s.server.Kill()
		end.do = func() {
			if !s.server.Running() {
				s.server.Start()
			}
		}
	case strayRunner: // at the source it has nothing to do
		stray := s.program.Start("mirror", "run", s.meta())
		end.do = stray.Kill
	case wrongRole:
		v.giveWrongCommands(s)
	default:
		wire := s.wires[slices.Sorted(maps.Keys(s.wires))[a.Wire%len(s.wires)]]
		spoil(wire, a)
		end.do = wire.Mend
	}
	return end
}

func spoil(wire *harness.Wire, a *act) {
	wire.Mend() // of what another act did to it
	switch a.Kind {
	case unplug:
		wire.Unplug()
	case swallow:
		wire.Swallow(true, true)
	case swallowThere:
		wire.Swallow(true, false)
	case swallowBack:
		wire.Swallow(false, true)
	case delay:
		wire.Delay(time.Duration(a.Amount/50) * time.Millisecond)
	case tear:
		wire.Tear(a.Amount)
	case narrow:
		wire.Narrow(8 + a.Amount/20)
	default:
	}
}

// giveWrongCommands gives commands that must change nothing, whatever state the sites are in.
func (v *volume) giveWrongCommands(s *site) {
	v.t.Helper()
	refused := func(args ...string) {
		v.t.Helper()
		if r := s.program.Try(args...); r.Code == 0 {
			v.t.Errorf("mirrorfs %v at site %s, where %s is the source, is not refused: %s", args, s.name, v.source.name, r.Stdout)
		}
	}
	if s == v.source {
		for _, m := range v.mirrors() {
			refused("mirror", "rejoin", s.meta(), s.reach[m]) // the wrong way round
			refused("mirror", "add", s.reach[m], s.meta(), "--site", "again")
		}
		refused("mirror", "repair", s.meta())
		refused("mirror", "wait", s.meta(), "--timeout", "1s")
		return
	}
	refused("mirror", "rejoin", s.meta(), s.meta())
	refused("format", s.meta(), "vol", "--bucket", bucketOf(s))
}
