package osstest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"mirrorfs/object/cloud/cloudtest"
)

// The signature is that of
// developer-reference/recommend-to-use-signature-version-4.

const (
	algorithm  = "OSS4-HMAC-SHA256"
	terminator = "aliyun_v4_request"
	payload    = "UNSIGNED-PAYLOAD" // the only value that OSS takes
	timeFormat = "20060102T150405Z"
	maxSkew    = 15 * time.Minute
)

// authorization is the header of that name, taken apart.
type authorization struct {
	id, date, region, service, terminator string
	additional                            []string // headers that are signed beyond the usual
	signature                             string
}

func parse(header string) (a authorization, ok bool) {
	fields, ok := strings.CutPrefix(header, algorithm+" ")
	if !ok {
		return a, false
	}
	for field := range strings.SplitSeq(fields, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		switch name {
		case "Credential":
			scope := strings.Split(value, "/")
			if len(scope) != 5 {
				return a, false
			}
			a.id, a.date, a.region, a.service, a.terminator = scope[0], scope[1], scope[2], scope[3], scope[4]
		case "AdditionalHeaders":
			a.additional = strings.Split(value, ";")
		case "Signature":
			a.signature = value
		}
	}
	return a, a.id != "" && a.signature != ""
}

func signer(r *http.Request) (string, *cloudtest.Fault) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return "", &cloudtest.Fault{Status: http.StatusForbidden, Code: "AccessDenied", Message: "Anonymous access is forbidden."}
	}
	a, ok := parse(header)
	if !ok {
		return "", &cloudtest.Fault{Status: http.StatusBadRequest, Code: "InvalidArgument", Message: "Authorization header is invalid."}
	}
	return a.id, nil
}

func verify(r *http.Request, secret string, now time.Time) *cloudtest.Fault {
	a, _ := parse(r.Header.Get("Authorization"))
	signed, err := time.Parse(timeFormat, r.Header.Get("X-Oss-Date"))
	if err != nil {
		return &cloudtest.Fault{Status: http.StatusBadRequest, Code: "InvalidArgument", Message: "x-oss-date is invalid."}
	}
	switch {
	case now.Sub(signed).Abs() > maxSkew:
		return &cloudtest.Fault{
			Status: http.StatusForbidden, Code: "RequestTimeTooSkewed",
			Message: "The difference between the request time and the current time is too large.",
		}
	case a.region != Region || a.service != "oss" || a.terminator != terminator:
		return &cloudtest.Fault{
			Status: http.StatusBadRequest, Code: "InvalidArgument", Message: "Invalid signing scope in Authorization header.",
		}
	case a.date != signed.Format("20060102"), r.Header.Get("X-Oss-Content-Sha256") != payload,
		!hmac.Equal([]byte(signature(r, secret)), []byte(a.signature)):
		return &cloudtest.Fault{
			Status: http.StatusForbidden, Code: "SignatureDoesNotMatch",
			Message: "The request signature we calculated does not match the signature you provided.",
		}
	}
	return nil
}

// signature is the one that a request should have by its Authorization header.
func signature(r *http.Request, secret string) string {
	a, _ := parse(r.Header.Get("Authorization"))
	hashed := sha256.Sum256([]byte(canonical(r, a.additional)))
	scope := strings.Join([]string{a.date, a.region, a.service, a.terminator}, "/")
	text := strings.Join([]string{algorithm, r.Header.Get("X-Oss-Date"), scope, hex.EncodeToString(hashed[:])}, "\n")
	key := []byte("aliyun_v4" + secret)
	for _, part := range []string{a.date, a.region, a.service, a.terminator, text} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	return hex.EncodeToString(key)
}

// canonical is the canonical request.
func canonical(r *http.Request, additional []string) string {
	bucket, key := locate(r)
	var headers strings.Builder
	for _, name := range signedHeaders(r, additional) {
		value := strings.TrimSpace(r.Header.Get(name))
		if name == "host" {
			value = r.Host
		}
		headers.WriteString(name + ":" + value + "\n")
	}
	return strings.Join([]string{
		r.Method,
		strings.ReplaceAll(escape("/"+bucket+"/"+key), "%2F", "/"),
		query(r.URL.RawQuery),
		headers.String(),
		strings.Join(additional, ";"),
		r.Header.Get("X-Oss-Content-Sha256"),
	}, "\n")
}

func signedHeaders(r *http.Request, additional []string) []string {
	names := slices.Clone(additional)
	for name := range r.Header {
		name = strings.ToLower(name)
		if name == "content-type" || name == "content-md5" || strings.HasPrefix(name, "x-oss-") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// query sorts parameters by their encoded name; one without value is its name
// alone.
func query(raw string) string {
	var parameters []string
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		parameter := escape(unescape(name))
		if value != "" {
			parameter += "=" + escape(unescape(value))
		}
		parameters = append(parameters, parameter)
	}
	slices.SortFunc(parameters, func(a, b string) int {
		nameA, _, _ := strings.Cut(a, "=")
		nameB, _, _ := strings.Cut(b, "=")
		return strings.Compare(nameA, nameB)
	})
	return strings.Join(parameters, "&")
}

// escape leaves letters, digits and -_.~ as they are, and writes all else as %XX.
func escape(text string) string {
	const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~"
	var out strings.Builder
	for _, b := range []byte(text) {
		if strings.IndexByte(unreserved, b) >= 0 {
			out.WriteByte(b)
			continue
		}
		out.WriteString("%" + strings.ToUpper(hex.EncodeToString([]byte{b})))
	}
	return out.String()
}

func unescape(text string) string {
	out, err := url.QueryUnescape(text)
	if err != nil {
		return text
	}
	return out
}
