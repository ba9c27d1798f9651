package harness

import (
	"bytes"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"

	"mirrorfs/object/s3/s3test"
)

// Faults stands between mounts and an S3 server and spoils some of the requests, in
// ways in which networks, proxies and servers do.
type Faults struct {
	target *url.URL

	mu    sync.Mutex
	rng   *rand.Rand
	rate  float64
	count int
}

// FaultyS3Bucket is S3Bucket behind Faults, which spoils nothing until told to.
func (w *World) FaultyS3Bucket(name string, seed uint64) (string, *Faults) {
	w.t.Helper()
	server := w.s3()
	target, err := url.Parse(server.Endpoint)
	if err != nil {
		w.t.Fatal(err)
	}
	f := &Faults{target: target, rng: rand.New(rand.NewPCG(seed, 8))}
	front := httptest.NewServer(f)
	w.t.Cleanup(front.Close)
	return s3test.Server{Endpoint: front.URL}.Address(name), f
}

// Set makes the share of requests that are spoiled rate, from now on.
func (f *Faults) Set(rate float64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rate = rate
}

// Count is how many requests were spoiled.
func (f *Faults) Count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count
}

// fault is what befalls a request.
type fault int

const (
	none     fault = iota
	refused        // 500, and nothing was done
	throttle       // 503, and nothing was done
	reset          // the connection breaks, and nothing was done
	lost           // it is done, and the connection breaks before the answer
	cut            // the connection breaks in the middle of the body
	flipped        // a bit of the body is wrong
	faults
)

func (f *Faults) roll() (kind fault, at float64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rng.Float64() >= f.rate {
		return none, 0
	}
	f.count++
	return fault(1 + f.rng.IntN(int(faults)-1)), f.rng.Float64()
}

// ServeHTTP passes a request on, or does not.
func (f *Faults) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kind, at := f.roll()
	switch kind {
	case refused:
		w.WriteHeader(http.StatusInternalServerError)
		return
	case throttle:
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case reset:
		panic(http.ErrAbortHandler)
	default:
	}
	answer, data, err := f.pass(r)
	if err != nil || kind == lost {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), answer.header)
	w.WriteHeader(answer.status)
	if r.Method != http.MethodGet || len(data) == 0 {
		kind = none
	}
	place := int(at * float64(len(data)))
	switch kind {
	case cut:
		_, _ = w.Write(data[:place])
		panic(http.ErrAbortHandler)
	case flipped:
		data[place] ^= 1
	default:
	}
	_, _ = w.Write(data) // whoever asked may be gone
}

// answer is what a server says before the body.
type answer struct {
	status int
	header http.Header
}

// pass makes the request at the server. The host stays that which was signed.
func (f *Faults) pass(r *http.Request) (answer, []byte, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return answer{}, nil, err
	}
	out := r.Clone(r.Context())
	out.URL.Scheme, out.URL.Host = f.target.Scheme, f.target.Host
	out.RequestURI = ""
	out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	resp, err := http.DefaultTransport.RoundTrip(out)
	if err != nil {
		return answer{}, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	return answer{status: resp.StatusCode, header: resp.Header}, data, err
}
