package s3

import (
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"

	"mirrorfs/object/cloud"
)

// buildable is what the SDK's configuration may still adjust: it adds
// AWS_CA_BUNDLE.
func buildable(connections int) *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().WithDialerOptions(cloud.TuneDialer).WithTransportOptions(func(t *http.Transport) {
		cloud.Tune(t, connections)
	})
}

// httpClient is the client for the bucket.
func httpClient(cfg *aws.Config) *http.Client {
	var t http.RoundTripper
	if b, ok := cfg.HTTPClient.(*awshttp.BuildableClient); ok {
		t = b.GetTransport()
	}
	return cloud.Client(t)
}
