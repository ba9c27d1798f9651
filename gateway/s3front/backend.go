package s3front

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/auth"
	lib "github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"

	"mirrorfs/gateway"
	"mirrorfs/meta"
)

// Headers of our own.
const (
	// PositionHeader is in answers to changes: the position in the volume's log after the change.
	PositionHeader = "X-Mirrorfs-Position"
	// WaitHeader in a request has it answered as of a position or a later one.
	WaitHeader = "X-Mirrorfs-Wait-For"
)

// backend is a gateway.API as the library wants it. What it does not have is NotImplemented.
type backend struct {
	lib.BackendUnsupported
	base      context.Context //nolint:containedctx // of the server's life, which no call spans
	api       gateway.API
	anonymous bool
	log       *slog.Logger
}

var _ lib.Backend = (*backend)(nil)

// String names the backend.
func (*backend) String() string { return "mirrorfs" }

// Shutdown has nothing to end.
func (*backend) Shutdown() {}

// request gives the context for a request to the API, once the position that it wants is reached. What the
// library passes belongs to it again when the request's handler returns, and so nothing of it is kept; its
// context, which ends with the beginning of a Shutdown, is not used.
func (b *backend) request(ctx context.Context) (context.Context, error) {
	rc, ok := ctx.(*fasthttp.RequestCtx)
	if !ok {
		return ctx, nil
	}
	acct, _ := rc.UserValue(string(utils.ContextKeyAccount)).(auth.Account)
	ctx = context.WithValue(b.base, requestKey{}, rc)
	ctx = gateway.WithCaller(ctx, gateway.Caller{AccessKey: strings.Clone(acct.Access)})
	wait := rc.Request.Header.Peek(WaitHeader)
	if len(wait) == 0 {
		return ctx, nil
	}
	at, err := meta.ParsePosition(string(wait))
	if err != nil {
		return nil, b.fail(ctx, &gateway.Error{Kind: gateway.InvalidArgument, Err: fmt.Errorf("header %s: %w", WaitHeader, err)})
	}
	if err := b.api.WaitFor(ctx, at); err != nil {
		return nil, b.fail(ctx, err)
	}
	return ctx, nil
}

// changed tells the client where the log stands after its change.
func (b *backend) changed(ctx context.Context) {
	if rc, ok := ctx.Value(requestKey{}).(*fasthttp.RequestCtx); ok {
		rc.Response.Header.Set(PositionHeader, b.api.Position().String())
	}
}

type requestKey struct{}

// name copies the name of an object: the library's strings are parts of a buffer that it uses again.
func name(bucket, key *string) gateway.Name {
	return gateway.Name{Bucket: strings.Clone(deref(bucket)), Key: strings.Clone(deref(key))}
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func ptr[T any](v T) *T { return &v }

// orNil is nil for what is not there.
func orNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// GetBucketAcl is asked for on every request. No bucket has one; it says that anybody may read when
// requests without a signature are passed on.
func (b *backend) GetBucketAcl(context.Context, *s3.GetBucketAclInput) ([]byte, error) { //nolint:staticcheck // the library names it
	acl := auth.ACL{Owner: owner}
	if b.anonymous {
		acl.Grantees = []auth.Grantee{{Permission: auth.PermissionRead, Access: "all-users", Type: types.TypeGroup}}
	}
	return json.Marshal(acl)
}

// owner is who owns all buckets and objects, as far as S3 wants to know.
const owner = "mirrorfs"

// GetBucketPolicy and the others below are asked for on many requests: there are none.
func (*backend) GetBucketPolicy(context.Context, string) ([]byte, error) {
	return nil, s3err.GetAPIError(s3err.ErrNoSuchBucketPolicy)
}

// GetBucketCors is documented at GetBucketPolicy.
func (*backend) GetBucketCors(context.Context, string) ([]byte, error) {
	return nil, s3err.GetAPIError(s3err.ErrNoSuchCORSConfiguration)
}

// GetObjectLockConfiguration is documented at GetBucketPolicy.
func (*backend) GetObjectLockConfiguration(context.Context, string) ([]byte, error) {
	return nil, s3err.GetAPIError(s3err.ErrObjectLockConfigurationNotFound)
}

// GetBucketVersioning says that objects have no versions.
func (*backend) GetBucketVersioning(context.Context, string) (s3response.GetBucketVersioningOutput, error) {
	return s3response.GetBucketVersioningOutput{}, nil
}

// GetBucketOwnershipControls says that ACLs play no part.
func (*backend) GetBucketOwnershipControls(context.Context, string) (types.ObjectOwnership, error) {
	return types.ObjectOwnershipBucketOwnerEnforced, nil
}
