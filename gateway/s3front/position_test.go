package s3front_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"mirrorfs/gateway"
	"mirrorfs/gateway/gatewaytest"
	"mirrorfs/gateway/s3front"
	"mirrorfs/meta"
)

// TestPromise06PositionsInHeaders: an answer to a change tells where the log is, and a request can ask to be
// answered as of a position.
func TestPromise06PositionsInHeaders(t *testing.T) {
	r := serve(t, gatewaytest.Options{Gateway: gateway.Options{WaitTimeout: 10 * time.Millisecond}})
	raw, ok := middleware.GetRawResponse(r.put("k", []byte("body")).ResultMetadata).(*smithyhttp.Response)
	if !ok {
		t.Fatal("no response")
	}
	at, err := meta.ParsePosition(raw.Header.Get(s3front.PositionHeader))
	state, stateErr := r.Engine.State(t.Context())
	if err != nil || stateErr != nil || at != state.Position {
		t.Errorf("the position after a change is %v (%v), want %v (%v)", at, err, state.Position, stateErr)
	}
	later := at
	later.Seq += 1000
	for _, c := range []struct {
		wait string
		want string
	}{
		{at.String(), ""},
		{later.String(), "ServiceUnavailable"},
		{"yesterday", "InvalidArgument"},
	} {
		_, err := r.s3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("k")},
			s3.WithAPIOptions(smithyhttp.SetHeaderValue(s3front.WaitHeader, c.wait)))
		if c.want == "" && err != nil {
			t.Errorf("as of %s: %v", c.wait, err)
		} else if c.want != "" {
			refused(t, err, c.want)
		}
	}
	if status, _ := fetch(t, r.url+"/"+bucket+"/k", http.Header{s3front.WaitHeader: {later.String()}}); status != http.StatusForbidden {
		t.Errorf("who may not ask is not waited for: status %d", status)
	}
}
