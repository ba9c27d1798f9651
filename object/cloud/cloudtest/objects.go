package cloudtest

import (
	"encoding/xml"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"mirrorfs/object"
	"mirrorfs/object/mem"
)

// serve answers a request that is signed well, or says why not.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) *Fault {
	name, key := s.dialect.Locate(r)
	if key == "" && r.Method == http.MethodPut {
		return s.create(name)
	}
	s.mu.Lock()
	bucket := s.buckets[name]
	s.mu.Unlock()
	if bucket == nil {
		return &Fault{http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist."}
	}
	if key == "" {
		if r.Method != http.MethodGet {
			return &Fault{http.StatusMethodNotAllowed, "MethodNotAllowed", "Not allowed on buckets."}
		}
		return s.list(w, r, name, bucket)
	}
	if fault := s.dialect.CheckKey(key); fault != nil {
		return fault
	}
	switch r.Method {
	case http.MethodPut:
		return s.put(w, r, bucket, key)
	case http.MethodGet, http.MethodHead:
		return s.get(w, r, bucket, key)
	case http.MethodDelete:
		if err := bucket.Delete(r.Context(), key); err != nil {
			return faultOf(err)
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return &Fault{http.StatusMethodNotAllowed, "MethodNotAllowed", "Not allowed on objects."}
}

func (s *Server) create(name string) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.buckets[name] != nil {
		return s.dialect.Owned
	}
	s.buckets[name] = mem.New(name)
	return nil
}

func (s *Server) put(w http.ResponseWriter, r *http.Request, bucket *mem.Store, key string) *Fault {
	if r.ContentLength < 0 {
		return &Fault{http.StatusLengthRequired, "MissingContentLength", "You must provide the Content-Length HTTP header."}
	}
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return &Fault{http.StatusBadRequest, "IncompleteBody", err.Error()}
	}
	if s.corrupts() {
		data = append(data[:len(data):len(data)], 'x')
	}
	put := bucket.Put
	if r.Header.Get(s.dialect.Prefix+"Forbid-Overwrite") == "true" {
		put = bucket.PutIfAbsent
	}
	if err := put(r.Context(), key, data); err != nil {
		return faultOf(err)
	}
	s.sum(w, data)
	return nil
}

func (s *Server) corrupts() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.corrupt--
	return s.corrupt >= 0
}

// sum adds the checksum that both vendors give for uploads and downloads.
func (s *Server) sum(w http.ResponseWriter, data []byte) {
	sum := crc64.Checksum(data, crc64.MakeTable(crc64.ECMA))
	w.Header().Set(s.dialect.Prefix+"Hash-Crc64ecma", strconv.FormatUint(sum, 10))
}

func (s *Server) get(w http.ResponseWriter, r *http.Request, bucket *mem.Store, key string) *Fault {
	info, err := bucket.Head(r.Context(), key)
	if err != nil {
		return faultOf(err)
	}
	body, err := bucket.Get(r.Context(), key, 0, -1)
	if err != nil {
		return faultOf(err)
	}
	data, err := io.ReadAll(body)
	if err != nil {
		return faultOf(err)
	}
	status, size := http.StatusOK, int64(len(data))
	from, to, ok := byteRange(r.Header.Get("Range"), size)
	exact := ok && from < size && to <= size
	switch {
	case !ok || !exact && s.dialect.Whole(r):
		from, to = 0, size
	case from >= size:
		return &Fault{http.StatusRequestedRangeNotSatisfiable, "InvalidRange", "The requested range cannot be satisfied."}
	default:
		to = min(to, size)
		status = http.StatusPartialContent
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to-1, size))
	}
	s.sum(w, data)
	w.Header().Set("ETag", `"`+object.VersionOf(body)+`"`)
	w.Header().Set("Last-Modified", info.ModTime.UTC().Format(http.TimeFormat))
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(to-from, 10))
	w.WriteHeader(status)
	if r.Method == http.MethodGet {
		_, _ = w.Write(data[from:to])
	}
	return nil
}

// byteRange reads a Range header of one range: the bytes from, and those before to.
func byteRange(header string, size int64) (from, to int64, ok bool) {
	text, ok := strings.CutPrefix(header, "bytes=")
	if !ok {
		return 0, 0, false
	}
	first, last, ok := strings.Cut(text, "-")
	if !ok {
		return 0, 0, false
	}
	from, err := strconv.ParseInt(first, 10, 64)
	if last == "" {
		return from, size, err == nil
	}
	to, lastErr := strconv.ParseInt(last, 10, 64)
	return from, to + 1, err == nil && lastErr == nil && from <= to
}

func (s *Server) list(w http.ResponseWriter, r *http.Request, name string, bucket *mem.Store) *Fault {
	q := r.URL.Query()
	most := s.dialect.MaxKeys
	if text := q.Get("max-keys"); text != "" {
		var err error
		if most, err = strconv.Atoi(text); err != nil || most < 1 || most > object.MaxListed {
			return &Fault{http.StatusBadRequest, "InvalidArgument", "max-keys is out of range."}
		}
	}
	// Pages of a real store end where it likes; here a third is missing from long ones.
	if most > 10 {
		most -= most / 3
	}
	found, err := bucket.List(r.Context(), q.Get("prefix"), s.dialect.After(q), most)
	if err != nil {
		return faultOf(err)
	}
	page := Page{Bucket: name, Objects: found}
	if len(found) == most {
		more, err := bucket.List(r.Context(), q.Get("prefix"), found[most-1].Key, 1)
		if err != nil {
			return faultOf(err)
		}
		page.Truncated = len(more) > 0
	}
	body, err := xml.Marshal(s.dialect.Listing(q, page))
	if err != nil {
		return faultOf(err)
	}
	w.Header().Set("Content-Type", "application/xml")
	_, _ = w.Write(append([]byte(xml.Header), body...))
	return nil
}

// Escape is how both vendors write what a listing with encoding-type=url names.
func Escape(q url.Values, text string) string {
	if q.Get("encoding-type") != "url" {
		return text
	}
	return strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
}

// faultOf is the answer for an error of the buckets behind.
func faultOf(err error) *Fault {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, object.ErrNotExist):
		return &Fault{http.StatusNotFound, "NoSuchKey", "The specified key does not exist."}
	case errors.Is(err, object.ErrExist):
		return &Fault{http.StatusConflict, "FileAlreadyExists", "The object you specified already exists and can not be overwritten."}
	case errors.Is(err, object.ErrInvalid):
		return &Fault{http.StatusBadRequest, "InvalidArgument", err.Error()}
	}
	return &Fault{http.StatusInternalServerError, "InternalError", err.Error()}
}
