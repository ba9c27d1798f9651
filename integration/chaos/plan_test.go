package chaos_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// plan is all that a run does to a volume. It follows from the seed.
type plan struct {
	Seed uint64
	// Modes are the sites' data modes; the first site is the source at the beginning.
	Modes []string
	// Sharp: kernels keep no names and attributes.
	Sharp  bool
	Rounds []round
}

// round is a part of a plan after which everything is mended and judged.
type round struct {
	Acts  []act
	Major major
	// To is which of the mirrors becomes the source; Alive: what loses its place goes on.
	To    int
	Alive bool
	// Left is how much of what could be lost is kept.
	Left float64
}

// major is what takes the roles of sites, or what they had acknowledged, away.
type major string

const (
	nothing   major = "nothing"
	exchange  major = "switch"                // planned
	promotion major = "promote"               // of a mirror, the source being there
	loss      major = "lose the source"       // and promote a mirror
	tail      major = "lose the log's tail"   // of the source's Redis
	mending   major = "repair without a need" // of a mirror that is well
)

// act is one thing that happens. What ends does so after For.
type act struct {
	// After is how many calls are made before it.
	After int
	Kind  kind
	// Site is where it happens, Wire which of its wires it is about, by place in a list.
	Site, Wire int
	Amount     int
	For        time.Duration
}

type kind string

const (
	unplug       kind = "unplug"
	swallow      kind = "swallow"
	swallowThere kind = "swallow what goes there"
	swallowBack  kind = "swallow what comes back"
	delay        kind = "delay"
	tear         kind = "tear"
	narrow       kind = "narrow"
	killMount    kind = "kill the mount"
	killRunner   kind = "kill the runner"
	killRedis    kind = "kill Redis"
	strayRunner  kind = "run a second runner"
	wrongRole    kind = "give commands in the wrong place"
)

// kinds has what is wanted more often more often.
func kinds() []kind {
	return []kind{
		unplug, swallow, swallowThere, swallowBack, delay, tear, tear, narrow,
		killMount, killRunner, killRedis, killRedis, strayRunner, wrongRole,
	}
}

// limits of what a plan draws.
type limits struct {
	rounds, acts int
	longest      time.Duration // of an act
}

func newPlan(seed uint64, most limits) *plan {
	rng := rand.New(rand.NewPCG(seed, 11))
	p := &plan{Seed: seed, Modes: []string{"source"}, Sharp: rng.IntN(2) == 0}
	for range 1 + rng.IntN(2) {
		p.Modes = append(p.Modes, []string{"demand", "keep", "full"}[rng.IntN(3)])
	}
	majors := []major{nothing, exchange, promotion, loss, tail, mending}
	order := rng.Perm(len(majors))
	for i := range most.rounds {
		r := round{Major: majors[order[i%len(order)]], To: rng.IntN(8), Alive: rng.IntN(2) == 0, Left: rng.Float64()}
		for range 1 + rng.IntN(most.acts) {
			r.Acts = append(r.Acts, act{
				After: rng.IntN(60), Kind: kinds()[rng.IntN(len(kinds()))], Site: rng.IntN(len(p.Modes)), Wire: rng.IntN(16),
				Amount: 1 + rng.IntN(20000), For: time.Duration(rng.Int64N(int64(most.longest))).Round(time.Millisecond),
			})
		}
		p.Rounds = append(p.Rounds, r)
	}
	return p
}

// String is the plan, a round a line.
func (p *plan) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "seed %d: sites %v, sharp %t\n", p.Seed, p.Modes, p.Sharp)
	for i := range p.Rounds {
		line, _ := json.Marshal(&p.Rounds[i])
		fmt.Fprintf(&text, "round %d: %s\n", i, line)
	}
	return text.String()
}
