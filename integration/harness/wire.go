package harness

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// Wire is a way from one place to a server that can be spoiled, by toxiproxy. It belongs to
// one goroutine.
type Wire struct {
	t     testing.TB
	proxy *toxiproxy.Proxy
}

// Wire puts a wire in front of a server at host:port.
func (w *World) Wire(name, target string) *Wire {
	w.t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	x := &Wire{t: w.t, proxy: toxiproxy.NewProxy(server, name, "127.0.0.1:0", target)}
	if err := x.proxy.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(x.proxy.Stop)
	return x
}

// Addr is where the wire begins, host:port.
func (x *Wire) Addr() string { return x.proxy.Listen }

// Unplug ends all connections and refuses new ones.
func (x *Wire) Unplug() { x.proxy.Stop() }

// Swallow lets nothing through any more and tells nobody, as a pulled cable does: in one
// direction, or in both.
func (x *Wire) Swallow(there, back bool) {
	x.t.Helper()
	if there {
		x.spoil("timeout", "upstream", `"timeout":0`)
	}
	if back {
		x.spoil("timeout", "downstream", `"timeout":0`)
	}
}

// Delay makes everything late by half a round trip, give or take a fifth.
func (x *Wire) Delay(rtt time.Duration) {
	x.t.Helper()
	late := fmt.Sprintf(`"latency":%d,"jitter":%d`, rtt.Milliseconds()/2, rtt.Milliseconds()/10)
	x.spoil("latency", "upstream", late)
	x.spoil("latency", "downstream", late)
}

// Tear ends each connection in the middle of what comes back: after so many bytes of it.
func (x *Wire) Tear(after int) {
	x.t.Helper()
	x.spoil("limit_data", "downstream", fmt.Sprintf(`"bytes":%d`, after))
}

// Narrow limits what passes in each direction to so many KiB a second.
func (x *Wire) Narrow(kib int) {
	x.t.Helper()
	rate := fmt.Sprintf(`"rate":%d`, kib)
	x.spoil("bandwidth", "upstream", rate)
	x.spoil("bandwidth", "downstream", rate)
}

func (x *Wire) spoil(kind, stream, attributes string) {
	x.t.Helper()
	toxic := fmt.Sprintf(`{"name":"%s-%s","type":%q,"stream":%q,"attributes":{%s}}`, kind, stream, kind, stream, attributes)
	if _, err := x.proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
		x.t.Fatalf("%s: %v", toxic, err)
	}
}

// Mend makes the wire as new. Connections of before are reset, as they are by what comes
// back in pieces.
func (x *Wire) Mend() {
	x.t.Helper()
	x.proxy.Stop()
	x.proxy.Toxics.ResetToxics(context.Background())
	// The port is the same: somebody may hold it for a moment, as the other end of a connection.
	Eventually(x.t, "the port of a wire", time.Minute, func() bool { return x.proxy.Start() == nil })
}
