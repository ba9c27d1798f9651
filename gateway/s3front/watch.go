package s3front

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/metrics"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"

	"mirrorfs/gateway"
)

// Paths that answer without a signature whatever the buckets are called.
const (
	HealthPath = "/healthz" // 200 while the process answers
	ReadyPath  = "/readyz"  // 200 while requests are welcome, 503 otherwise
)

// Gate bounds requests.
type Gate interface {
	// Enter lets a request in, and leave is called once its answer was sent; false answers it with
	// SlowDown.
	Enter() (leave func(), ok bool)
}

// watched is a request from its header to the last byte of its answer.
type watched struct {
	s     *Server
	leave func()
	done  bool
	// streams says that the answer's body is sent after the handlers have returned.
	streams  bool
	promised int64 // bytes of the body
	served   gateway.Served
}

const watchedKey = "mirrorfs-watched"

// watch is around what the library does with a request.
func (s *Server) watch(ctx fiber.Ctx) error {
	w := &watched{s: s, served: gateway.Served{Operation: "Unknown", Began: time.Now()}}
	if s.opts.Gate != nil {
		leave, ok := s.opts.Gate.Enter()
		if !ok {
			defer func() { w.end(ctx) }()
			ctx.Response().Header.Set("Retry-After", "1")
			return w.refuse(ctx, s3err.GetAPIError(s3err.ErrSlowDown))
		}
		w.leave = leave
	}
	ctx.RequestCtx().SetUserValue(watchedKey, w)
	returned := false
	defer func() {
		if !returned { // a panic, which the library answers
			w.served.Status, w.streams = http.StatusInternalServerError, false
		}
		w.end(ctx)
	}()
	if err := s.bounded(ctx); err != nil {
		returned = true
		ctx.Response().Header.SetConnectionClose() // what the client goes on sending is no request
		return w.refuse(ctx, err)
	}
	err := ctx.Next()
	returned = true
	return err
}

// refuse answers with an error without asking the library.
func (w *watched) refuse(ctx fiber.Ctx, err s3err.S3Error) error {
	w.served.Code = err.BaseError().Code
	id, host := utils.EnsureRequestIDs(ctx)
	ctx.Response().Header.SetContentType(fiber.MIMEApplicationXML)
	return ctx.Status(err.StatusCode()).Send(err.XMLBody(id, host))
}

// end notes what the library knows at the end of its handlers, whose buffers are its own: all is copied.
func (w *watched) end(ctx fiber.Ctx) {
	rc, s := ctx.RequestCtx(), &w.served
	if s.Status == 0 {
		s.Status = rc.Response.StatusCode()
	}
	bucket, key, _ := strings.Cut(strings.TrimPrefix(ctx.Path(), "/"), "/")
	s.Name = gateway.Name{Bucket: strings.Clone(bucket), Key: strings.Clone(key)}
	if acct, ok := rc.UserValue(string(utils.ContextKeyAccount)).(auth.Account); ok {
		s.AccessKey = strings.Clone(acct.Access)
	}
	s.Remote, s.Agent = rc.RemoteAddr().String(), string(rc.UserAgent())
	s.RequestID = string(rc.Response.Header.Peek(utils.HeaderAmzRequestID))
	if s.Status < http.StatusBadRequest {
		s.Received = max(0, int64(rc.Request.Header.ContentLength()))
	}
	if w.streams && s.Status < http.StatusBadRequest {
		return // finish follows when the body is closed
	}
	if !rc.IsHead() {
		s.Sent = int64(len(rc.Response.Body()))
	}
	w.finish()
}

// finish tells that the answer was sent.
func (w *watched) finish() {
	if w.done {
		return
	}
	w.done = true
	if w.leave != nil {
		w.leave()
	}
	w.served.Took = time.Since(w.served.Began)
	if w.s.opts.Served != nil {
		w.s.opts.Served(&w.served)
	}
}

// actions hears from the library what a request turned out to be: it calls that metrics.
type actions struct{}

var _ metrics.Manager = actions{}

// Send notes an operation and its error.
func (actions) Send(ctx fiber.Ctx, err error, action string, _ int64, _ int) {
	w, ok := ctx.RequestCtx().UserValue(watchedKey).(*watched)
	if !ok {
		return
	}
	if a := metrics.ActionMap[action]; a.Name != "" && action != metrics.ActionUndetected {
		w.served.Operation = a.Name
	}
	var known s3err.S3Error
	switch {
	case errors.As(err, &known):
		w.served.Code = known.BaseError().Code
	case err != nil:
		w.served.Code = "InternalError"
	}
}

// Close has nothing to end.
func (actions) Close() {}

// stream has the answer's body watched until it is closed, which the server does when all of it was
// written or cannot be.
func stream(ctx context.Context, body *gateway.Body, n int64) io.ReadCloser {
	rc, ok := ctx.Value(requestKey{}).(*fasthttp.RequestCtx)
	if !ok {
		return body
	}
	w, ok := rc.UserValue(watchedKey).(*watched)
	if !ok {
		return body
	}
	w.streams, w.promised = true, n
	return &watchedBody{body, w}
}

// watchedBody counts what is sent of a body.
type watchedBody struct {
	body *gateway.Body
	w    *watched
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	b.w.served.Sent += int64(n)
	return n, err
}

// WriteTo keeps the fast way.
func (b *watchedBody) WriteTo(to io.Writer) (int64, error) {
	n, err := b.body.WriteTo(to)
	b.w.served.Sent += n
	return n, err
}

func (b *watchedBody) Close() error {
	err := b.body.Close()
	b.w.served.Aborted = b.w.served.Sent < b.w.promised
	b.w.finish()
	return err
}

// maxSmallBody is how long the body of a request may be that is held in memory as a whole: an XML document
// that names 10,000 parts with their checksums is shorter.
const maxSmallBody = 4 << 20

// bounded refuses a body that the library would hold in memory as a whole, however long it is.
func (s *Server) bounded(ctx fiber.Ctx) s3err.S3Error {
	n := int64(ctx.Request().Header.ContentLength())
	if n >= 0 && n <= maxSmallBody || s.streamed(ctx) {
		return nil
	}
	switch {
	case n > 0:
		return s3err.GetEntityTooLargeErr(n, maxSmallBody)
	case n == -1: // chunked, of unknown length
		return s3err.GetAPIError(s3err.ErrMissingContentLength)
	}
	return nil // without a body
}

// streamed tells whether a request is one whose body is never held as a whole: PutObject, UploadPart and
// POST of a form.
func (s *Server) streamed(ctx fiber.Ctx) bool {
	r := ctx.Request()
	switch ctx.Method() {
	case fiber.MethodPost:
		return strings.HasPrefix(string(r.Header.ContentType()), fiber.MIMEMultipartForm)
	case fiber.MethodPut:
	default:
		return false
	}
	_, key, _ := strings.Cut(strings.TrimPrefix(ctx.Path(), "/"), "/")
	host := string(r.Host())
	if key == "" && (s.opts.Domain == "" || !strings.Contains(host, "."+s.opts.Domain)) {
		return false // a bucket
	}
	for k := range r.URI().QueryArgs().All() {
		switch name := string(k); {
		case name == "partNumber", name == "uploadId", name == "x-id", strings.HasPrefix(name, "X-Amz-"):
		default:
			return false // ?acl, ?tagging and the like
		}
	}
	return true
}

// ready answers load balancers.
func (s *Server) ready(ctx fiber.Ctx) error {
	if s.draining.Load() {
		return ctx.Status(http.StatusServiceUnavailable).SendString("draining\n")
	}
	if s.opts.Ready != nil {
		if err := s.opts.Ready(s.base); err != nil {
			return ctx.Status(http.StatusServiceUnavailable).SendString(err.Error() + "\n")
		}
	}
	return ctx.SendString("ready\n")
}
