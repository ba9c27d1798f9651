package mirror_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// proxy is the way between two sites.
type proxy struct {
	t testing.TB
	p *toxiproxy.Proxy
}

// newProxy listens for connections to a target, host:port.
func newProxy(t testing.TB, target string) *proxy {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	p := toxiproxy.NewProxy(server, "wan", "127.0.0.1:0", target)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return &proxy{t: t, p: p}
}

func (p *proxy) add(name, kind, stream string, attributes string) {
	p.t.Helper()
	toxic := fmt.Sprintf(`{"name":%q,"type":%q,"stream":%q,"attributes":{%s}}`, name, kind, stream, attributes)
	if _, err := p.p.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
		p.t.Fatal(err)
	}
}

// delay makes a round trip take so long.
func (p *proxy) delay(rtt time.Duration) {
	latency := fmt.Sprintf(`"latency":%d`, rtt.Milliseconds()/2)
	p.add("there", "latency", "upstream", latency)
	p.add("back", "latency", "downstream", latency)
}

// reset breaks every connection; new ones may come.
func (p *proxy) reset() {
	p.t.Helper()
	p.p.Stop()
	if err := p.p.Start(); err != nil {
		p.t.Fatal(err)
	}
}

// cut lets nothing through any more; connections stay open, as with a cable that is
// pulled.
func (p *proxy) cut() {
	p.add("cut there", "timeout", "upstream", `"timeout":0`)
	p.add("cut back", "timeout", "downstream", `"timeout":0`)
}

// mend ends a cut. What was lost on the way is lost, so the connections of before
// are reset, as they would be by what comes back in pieces.
func (p *proxy) mend() {
	p.t.Helper()
	p.p.Stop()
	for _, name := range []string{"cut there", "cut back"} {
		if err := p.p.Toxics.RemoveToxic(p.t.Context(), name); err != nil {
			p.t.Fatal(err)
		}
	}
	if err := p.p.Start(); err != nil {
		p.t.Fatal(err)
	}
}
