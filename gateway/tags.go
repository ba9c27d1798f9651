package gateway

import "context"

// Tags implements API.
func (g *Gateway) Tags(ctx context.Context, n Name) (map[string]string, error) {
	_, s, err := g.find(ctx, n)
	if err != nil {
		return nil, fail("tags", n, err)
	}
	return s.Tags, nil
}

// SetTags implements API.
func (g *Gateway) SetTags(ctx context.Context, n Name, tags map[string]string) error {
	defer g.lock(n)()
	pl, s, err := g.find(ctx, n)
	if err == nil {
		s.Tags = tags
		err = g.keep(ctx, pl.node().Ino, &s)
	}
	if err != nil {
		return fail("set tags", n, err)
	}
	return nil
}
