package gateway

import "context"

func later(op string, n Name) error { return fail(op, n, refuse(NotImplemented)) }

func (g *Gateway) Copy(_ context.Context, r CopyRequest) (Info, error) {
	return Info{}, later("copy", r.To)
}
func (g *Gateway) Delete(_ context.Context, r DeleteRequest) error { return later("delete", r.Name) }
func (g *Gateway) List(_ context.Context, r ListRequest) (ListPage, error) {
	return ListPage{}, later("list", Name{Bucket: r.Bucket})
}

func (g *Gateway) Tags(_ context.Context, n Name) (map[string]string, error) {
	return nil, later("tags", n)
}

func (g *Gateway) SetTags(_ context.Context, n Name, _ map[string]string) error {
	return later("set tags", n)
}

func (g *Gateway) StartUpload(_ context.Context, r StartRequest) (string, error) {
	return "", later("start upload", r.Name)
}

func (g *Gateway) PutPart(_ context.Context, r PartRequest) (Part, error) {
	return Part{}, later("put part", r.Name)
}

func (g *Gateway) CopyPart(_ context.Context, r CopyPartRequest) (Part, error) {
	return Part{}, later("copy part", r.Name)
}

func (g *Gateway) Complete(_ context.Context, r CompleteRequest) (Info, error) {
	return Info{}, later("complete", r.Name)
}
func (g *Gateway) Abort(_ context.Context, u UploadName) error { return later("abort", u.Name) }
func (g *Gateway) Parts(_ context.Context, r PartsRequest) (PartsPage, error) {
	return PartsPage{}, later("parts", r.Name)
}

func (g *Gateway) Uploads(_ context.Context, r UploadsRequest) (UploadsPage, error) {
	return UploadsPage{}, later("uploads", Name{Bucket: r.Bucket})
}
