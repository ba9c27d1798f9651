package mirror

import (
	"os/exec"
	"testing"
)

func TestWhoIsDead(t *testing.T) {
	me := here("me")
	if me.PID == 0 || me.Started == "" {
		t.Fatalf("this process is %+v", me)
	}
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		change func(*holder)
		want   bool
	}{
		"this process":           {func(*holder) {}, false},
		"nobody":                 {func(h *holder) { *h = holder{} }, false},
		"not told as whom":       {func(h *holder) { h.Owner, h.PID = "", cmd.Process.Pid }, false},
		"one that has ended":     {func(h *holder) { h.PID = cmd.Process.Pid }, true},
		"its number given again": {func(h *holder) { h.Started = "1" }, true},
		"another machine":        {func(h *holder) { h.Boot, h.PID = "other", cmd.Process.Pid }, false},
		"another container":      {func(h *holder) { h.Space, h.PID = "pid:[1]", cmd.Process.Pid }, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := me
			test.change(&h)
			if got := h.dead(); got != test.want {
				t.Errorf("%+v is dead: %t", h, got)
			}
		})
	}
}
