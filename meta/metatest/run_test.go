package metatest_test

import (
	"testing"
	"time"

	"mirrorfs/meta"
	"mirrorfs/meta/metatest"
	"mirrorfs/meta/model"
)

// The model passes its own suite: the replies must equal, of course, but the rest
// of the suite checks the model, and the suite itself.
func TestSuite(t *testing.T) {
	metatest.Run(t, metatest.Config{
		New: func(_ testing.TB, clock func() time.Time) metatest.Volume {
			m := model.New(meta.Volume{Name: "test"}, clock)
			return metatest.Volume{
				Open:    func(testing.TB) meta.Engine { return m.Client() },
				Waiting: func(testing.TB) int { return m.Waiting() },
			}
		},
		NewReplica: func(_ testing.TB, clock func() time.Time) metatest.Replica { return model.NewReplica(clock) },
	})
}
