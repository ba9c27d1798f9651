package s3front

import (
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/s3api/middlewares"
	"github.com/versity/versitygw/s3api/utils"

	"mirrorfs/gateway"
)

// sums is a request or an answer of the library, of which each kind has a field for every algorithm:
// ChecksumCRC32 and so on.
type sums struct{ fields reflect.Value }

// sumsOf gives the fields of a pointer to a struct.
func sumsOf(p any) sums { return sums{reflect.ValueOf(p).Elem()} }

// of gives the field of an algorithm, nil for one that is unknown there.
func (s sums) of(algorithm string) **string {
	f := s.fields.FieldByName("Checksum" + strings.ToUpper(algorithm))
	if !f.IsValid() {
		return nil
	}
	p, _ := f.Addr().Interface().(**string)
	return p
}

// set puts a checksum, if there is one, into its field and gives its type.
func (s sums) set(c *gateway.Checksum) types.ChecksumType {
	if c == nil {
		return ""
	}
	if p := s.of(c.Algorithm); p != nil {
		*p = &c.Value
	}
	return typeOf(c)
}

// typeOf says what a checksum is of.
func typeOf(c *gateway.Checksum) types.ChecksumType {
	if c.Composite {
		return types.ChecksumTypeComposite
	}
	return types.ChecksumTypeFullObject
}

// get gives the checksum that a field holds, nil when none does.
func (s sums) get() *gateway.Checksum {
	for _, a := range types.ChecksumAlgorithm("").Values() {
		if p := s.of(string(a)); p != nil && *p != nil && **p != "" {
			return &gateway.Checksum{Algorithm: string(a), Value: strings.Clone(**p)}
		}
	}
	return nil
}

// content is the body of a request, which fails at its end when it does not have the checksum that the
// request or its trailer told. algorithm, if not empty, is to be computed when none was told.
func content(body io.Reader, size int64, told *gateway.Checksum, algorithm types.ChecksumAlgorithm) (gateway.Content, error) {
	c := gateway.Content{Body: body, Size: size}
	if trailer, ok := body.(middlewares.ChecksumReader); ok && trailer.Algorithm() != "" {
		c.Checksum = func() *gateway.Checksum {
			return &gateway.Checksum{Algorithm: strings.ToUpper(trailer.Algorithm()), Value: trailer.Checksum()}
		}
		return c, nil
	}
	expected := ""
	switch {
	case told != nil:
		algorithm, expected = types.ChecksumAlgorithm(told.Algorithm), told.Value
	case algorithm == "":
		return c, nil
	}
	r, err := utils.NewHashReader(body, expected, utils.HashType(strings.ToLower(string(algorithm))))
	if err != nil {
		return c, fmt.Errorf("checksum %s: %w", algorithm, err)
	}
	c.Body = r
	c.Checksum = func() *gateway.Checksum { return &gateway.Checksum{Algorithm: string(algorithm), Value: r.Sum()} }
	return c, nil
}
