package harness

import (
	"strings"
	"time"
)

// Keys of a gateway that may do everything.
const (
	GatewayKey    = "AKHARNESS"
	GatewaySecret = "harness-secret-of-gateways"
)

// Gateway is a mirrorfs gateway in another process.
type Gateway struct {
	*Process
	URL string
}

// Gateway serves the volume at a metadata address over S3, with GatewayKey for everything, and waits
// until it does.
func (w *World) Gateway(name, meta string, flags ...string) *Gateway {
	w.t.Helper()
	args := append([]string{"gateway", meta, "--address", "127.0.0.1:0", "--cache-dir", w.Dir("cache-" + name), "--metrics", ":0"}, flags...)
	g := &Gateway{Process: w.With("MIRRORFS_ACCESS_KEY="+GatewayKey, "MIRRORFS_SECRET_KEY="+GatewaySecret).Start(args...)}
	Eventually(w.t, "gateway "+name+" to serve", time.Minute, func() bool {
		_, rest, found := strings.Cut(g.Log(), "serving volume ")
		if !found && !g.Running() {
			w.t.Fatalf("the gateway ended: %s", g.Log())
		}
		_, g.URL, _ = strings.Cut(rest, " at ")
		var whole bool
		g.URL, _, whole = strings.Cut(g.URL, "\n")
		return found && whole
	})
	return g
}

// S3 gives the environment of programs that speak S3 with a gateway by a key.
func (g *Gateway) S3(access, secret string) []string {
	return []string{
		"AWS_ACCESS_KEY_ID=" + access, "AWS_SECRET_ACCESS_KEY=" + secret, "AWS_DEFAULT_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_ENDPOINT_URL=" + g.URL, "URL=" + g.URL, "HOSTPORT=" + strings.TrimPrefix(g.URL, "http://"),
	}
}
