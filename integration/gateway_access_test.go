package integration_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mirrorfs/integration/harness"
)

// s3curl is curl that signs, of a key.
const s3curl = `s3() { curl -sS --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" --aws-sigv4 aws:amz:us-east-1:s3 -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' "$@"; }; `

// statusOf gives the HTTP status of a request by curl, with a key.
func statusOf(w *harness.World, g *harness.Gateway, access, secret, args string) string {
	return w.With(g.S3(access, secret)...).Shell(s3curl + "s3 -o /dev/null -w '%{http_code}' " + args).Stdout
}

const keysFile = `{"keys": [
	{"name": "servers", "access_key": "AKREAD", "secret_key": "secret-of-readers", "role": "read", "prefix": "pub/"},
	{"name": "trainer", "access_key": "AKWRITE", "secret_key": "secret-of-writers", "role": "write", "prefix": "pub/"},
	{"anonymous": true, "role": "read", "prefix": "open/"}%s
]}`

// Keys with a role and a prefix, through the real program; its log, audit log and metrics tell of requests, and
// of no secret; it ends when told to.
func TestGatewayAccess(t *testing.T) {
	w := harness.New(t, program)
	meta := w.Redis()
	w.Run("format", meta, "vol", "--bucket", w.FileBucket("bucket"))
	dir := w.Dir("gateway")
	keys, audit := filepath.Join(dir, "keys.json"), filepath.Join(dir, "audit.log")
	put := func(more string) {
		t.Helper()
		must(t, os.WriteFile(keys+".new", []byte(strings.Replace(keysFile, "%s", more, 1)), 0o600))
		must(t, os.Rename(keys+".new", keys))
	}
	put("")
	g := w.Gateway("g", meta, "--keys", keys, "--audit", audit, "--log-level", "debug")
	must(t, os.WriteFile(filepath.Join(dir, "x"), []byte("some bytes"), 0o600))
	file := "-T " + filepath.Join(dir, "x") + " "
	for _, c := range []struct{ access, secret, request, want string }{
		{harness.GatewayKey, harness.GatewaySecret, file + "$URL/vol/pub/x", "200"},
		{harness.GatewayKey, harness.GatewaySecret, file + "$URL/vol/open/x", "200"},
		{harness.GatewayKey, harness.GatewaySecret, file + "$URL/vol/priv/x", "200"},
		{"AKREAD", "secret-of-readers", "$URL/vol/pub/x", "200"},
		{"AKREAD", "secret-of-readers", "$URL/vol/open/x", "200"},
		{"AKREAD", "secret-of-readers", "$URL/vol/priv/x", "403"},
		{"AKREAD", "secret-of-readers", "-I $URL/vol/pub", "403"},
		{"AKREAD", "secret-of-readers", file + "$URL/vol/pub/x", "403"},
		{"AKREAD", "secret-of-writers", "$URL/vol/pub/x", "403"},
		{"AKNOBODY", "secret-of-readers", "$URL/vol/pub/x", "403"},
		{"AKREAD", "secret-of-readers", "--path-as-is $URL/vol/pub/../priv/x", "403 404"},
		{"AKREAD", "secret-of-readers", "--path-as-is $URL/vol/pub/%2e%2e/priv/x", "403 404"},
		{"AKREAD", "secret-of-readers", "--path-as-is $URL/vol//priv/x", "403 404"},
		{"AKREAD", "secret-of-readers", "--path-as-is $URL/other/../vol/priv/x", "400 403 404"},
		{"AKWRITE", "secret-of-writers", file + "$URL/vol/pub/y", "200"},
		{"AKWRITE", "secret-of-writers", file + "$URL/vol/priv/y", "403"},
		{"AKWRITE", "secret-of-writers", "-X PUT -H 'x-amz-copy-source: /vol/priv/x' $URL/vol/pub/z", "403 501"},
		{"AKWRITE", "secret-of-writers", "-X PUT $URL/new-bucket", "403 501"},
	} {
		if got := statusOf(w, g, c.access, c.secret, c.request); !strings.Contains(c.want, got) || got == "" {
			t.Errorf("%s: %s: status %s, want %s", c.access, c.request, got, c.want)
		}
	}
	anonymous := func(path string) string {
		return w.With("URL=" + g.URL).Shell("curl -sS -o /dev/null -w '%{http_code}' " + path).Stdout
	}
	for path, want := range map[string]string{"$URL/vol/open/x": "200", "$URL/vol/pub/x": "403", "$URL/healthz": "200", "$URL/readyz": "200", "-T " + keys + " $URL/vol/open/y": "403"} {
		if got := anonymous(path); got != want {
			t.Errorf("without a signature: %s: status %s, want %s", path, got, want)
		}
	}
	put(`, {"access_key": "AKNEW", "secret_key": "secret-of-the-new", "role": "read"}`)
	harness.Eventually(t, "the new key to be known", time.Minute, func() bool {
		return statusOf(w, g, "AKNEW", "secret-of-the-new", "$URL/vol/priv/x") == "200"
	})
	put("")
	harness.Eventually(t, "the new key to be forgotten", time.Minute, func() bool {
		return statusOf(w, g, "AKNEW", "secret-of-the-new", "$URL/vol/priv/x") == "403"
	})
	if n := g.Metric(`mirrorfs_gateway_requests_total{operation="PutObject",status="200"}`); n != 4 {
		t.Errorf("%v objects were put, by the metrics", n)
	}
	if code := g.Stop(); code != 0 {
		t.Errorf("the gateway ended with %d", code)
	}
	text, err := os.ReadFile(audit)
	must(t, err)
	checkAudit(t, string(text))
	for _, s := range []string{harness.GatewaySecret, "secret-of-"} {
		if strings.Contains(string(text), s) || strings.Contains(g.Log(), s) {
			t.Errorf("a log has the secret %q", s)
		}
	}
}

// checkAudit looks at the lines of an audit log.
func checkAudit(t *testing.T, text string) {
	t.Helper()
	puts, denied := 0, 0
	for line := range strings.Lines(text) {
		var l struct {
			Key, Operation, Bucket, Object, Error string
			Status                                int
			Received                              int64
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if l.Operation == "PutObject" && l.Status == 200 && l.Bucket == "vol" && l.Received == 10 {
			puts++
		}
		if l.Key == "AKREAD" && l.Operation == "GetObject" && l.Object == "priv/x" && l.Status == 403 && l.Error == "AccessDenied" {
			denied++
		}
	}
	if puts != 4 || denied == 0 {
		t.Errorf("%d puts and %d refused gets are in the audit log:\n%s", puts, denied, text)
	}
}
