package mirror

import "mirrorfs/meta"

// Reclaimer is this site's metadata if it is the source, see meta.AsReclaimer: the clients of
// a mirror leave freed data to those of the source.
func (e *Engine) Reclaimer() (meta.Reclaimer, bool) {
	if !e.isHere() {
		return nil, false
	}
	r, ok := e.near.(meta.Reclaimer)
	return r, ok
}
