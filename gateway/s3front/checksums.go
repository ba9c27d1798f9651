package s3front

import (
	"fmt"
	"io"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/s3api/middlewares"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3response"

	"mirrorfs/gateway"
)

// sums are where a request or an answer of the library has its checksums: a field for each algorithm.
type sums struct {
	crc32, crc32c, crc64nvme, sha1, sha256, sha512, md5, xxhash64, xxhash3, xxhash128 **string
}

// of gives the field of an algorithm, nil for one that is unknown.
func (s sums) of(algorithm string) **string {
	switch types.ChecksumAlgorithm(strings.ToUpper(algorithm)) {
	case types.ChecksumAlgorithmCrc32:
		return s.crc32
	case types.ChecksumAlgorithmCrc32c:
		return s.crc32c
	case types.ChecksumAlgorithmCrc64nvme:
		return s.crc64nvme
	case types.ChecksumAlgorithmSha1:
		return s.sha1
	case types.ChecksumAlgorithmSha256:
		return s.sha256
	case types.ChecksumAlgorithmSha512:
		return s.sha512
	case types.ChecksumAlgorithmMd5:
		return s.md5
	case types.ChecksumAlgorithmXxhash64:
		return s.xxhash64
	case types.ChecksumAlgorithmXxhash3:
		return s.xxhash3
	case types.ChecksumAlgorithmXxhash128:
		return s.xxhash128
	}
	return nil
}

// set puts a checksum, if there is one, into its field and gives its type.
func (s sums) set(c *gateway.Checksum) types.ChecksumType {
	if c == nil {
		return ""
	}
	if p := s.of(c.Algorithm); p != nil {
		*p = &c.Value
	}
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

func putSums(p *s3response.PutObjectInput) sums {
	return sums{&p.ChecksumCRC32, &p.ChecksumCRC32C, &p.ChecksumCRC64NVME, &p.ChecksumSHA1, &p.ChecksumSHA256, &p.ChecksumSHA512, &p.ChecksumMD5, &p.ChecksumXXHASH64, &p.ChecksumXXHASH3, &p.ChecksumXXHASH128}
}

func putOutSums(p *s3response.PutObjectOutput) sums {
	return sums{&p.ChecksumCRC32, &p.ChecksumCRC32C, &p.ChecksumCRC64NVME, &p.ChecksumSHA1, &p.ChecksumSHA256, &p.ChecksumSHA512, &p.ChecksumMD5, &p.ChecksumXXHASH64, &p.ChecksumXXHASH3, &p.ChecksumXXHASH128}
}

func getSums(p *s3.GetObjectOutput) sums {
	return sums{&p.ChecksumCRC32, &p.ChecksumCRC32C, &p.ChecksumCRC64NVME, &p.ChecksumSHA1, &p.ChecksumSHA256, &p.ChecksumSHA512, &p.ChecksumMD5, &p.ChecksumXXHASH64, &p.ChecksumXXHASH3, &p.ChecksumXXHASH128}
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
