package integration_test

import (
	"syscall"
	"testing"

	"github.com/anishathalye/porcupine"
)

// The judges of histories find what is wrong, and nothing in what is right.
func TestHistoryJudges(t *testing.T) {
	look := func(op string, name int, found entry) porcupine.Operation {
		return porcupine.Operation{Input: act{op: op, name: name, to: 1}, Output: outcome{found: found}}
	}
	five, six := entry{ino: 5}, entry{ino: 6}
	missing := porcupine.Operation{Input: act{op: "stat"}, Output: outcome{errno: syscall.ENOENT}}
	half := porcupine.Operation{Input: act{op: "readdir"}, Output: outcome{list: bindings{five, five}}}
	unsure := porcupine.Operation{Input: act{op: "unlink"}, Output: outcome{errno: syscall.EIO}}
	created, moved := look("create", 0, five), look("move", 0, entry{})
	for name, c := range map[string]struct {
		one, other []porcupine.Operation // of two clients, one after the other
		wrong      bool
	}{
		"made and seen":          {one: []porcupine.Operation{created}, other: []porcupine.Operation{look("stat", 0, five)}},
		"made twice":             {one: []porcupine.Operation{created}, other: []porcupine.Operation{look("create", 0, six)}, wrong: true},
		"another one is seen":    {one: []porcupine.Operation{created}, other: []porcupine.Operation{look("stat", 0, six)}, wrong: true},
		"not seen":               {one: []porcupine.Operation{created}, other: []porcupine.Operation{missing}, wrong: true},
		"half of a rename":       {one: []porcupine.Operation{created, moved}, other: []porcupine.Operation{half}, wrong: true},
		"moved twice":            {one: []porcupine.Operation{created, moved}, other: []porcupine.Operation{moved}, wrong: true},
		"perhaps removed, seen":  {one: []porcupine.Operation{created, unsure}, other: []porcupine.Operation{look("stat", 0, five)}},
		"perhaps removed, gone":  {one: []porcupine.Operation{created, unsure}, other: []porcupine.Operation{missing}},
		"gone and there again":   {one: []porcupine.Operation{created, unsure}, other: []porcupine.Operation{missing, look("stat", 0, five)}, wrong: true},
		"refused for no reason":  {one: []porcupine.Operation{{Input: act{op: "mkdir"}, Output: outcome{errno: syscall.EEXIST}}}, wrong: true},
		"an error without sense": {one: []porcupine.Operation{{Input: act{op: "stat"}, Output: outcome{errno: syscall.EINVAL}}}, wrong: true},
	} {
		var all []porcupine.Operation
		for client, operations := range [][]porcupine.Operation{c.one, c.other} {
			for _, op := range operations {
				op.ClientId, op.Call, op.Return = client, int64(2*len(all)), int64(2*len(all)+1)
				all = append(all, op)
			}
		}
		if porcupine.CheckOperations(namesModel(), all) == c.wrong {
			t.Errorf("%s: judged wrongly", name)
		}
	}
}

// follow takes what is behind, and finds what goes back or never was.
func TestFollowJudges(t *testing.T) {
	states := []inodes{{}, {5}, {0, 5}, {6, 5}}
	see := func(what string, place int, ino uint64) glimpse {
		g := glimpse{what: what}
		g.of[place], g.is[place] = true, ino
		return g
	}
	all := func(is inodes) glimpse {
		return glimpse{what: "readdir", of: [len(historyNames)]bool{true, true, true}, is: is}
	}
	for name, c := range map[string]struct {
		told  []glimpse
		wrong bool
	}{
		"behind":                 {told: []glimpse{see("stat", 0, 0), see("stat", 0, 5), all(inodes{0, 5})}},
		"old of another name":    {told: []glimpse{see("stat", 0, 6), see("stat", 1, 0)}},
		"back in time":           {told: []glimpse{see("stat", 0, 6), see("stat", 0, 5)}, wrong: true},
		"back in time by a list": {told: []glimpse{see("stat", 1, 5), all(inodes{5})}, wrong: true},
		"half of a rename":       {told: []glimpse{all(inodes{5, 5})}, wrong: true},
		"never there":            {told: []glimpse{see("stat", 2, 7)}, wrong: true},
	} {
		if wrong := follow(states, c.told); (wrong != "") != c.wrong {
			t.Errorf("%s: judged wrongly: %q", name, wrong)
		}
	}
}
