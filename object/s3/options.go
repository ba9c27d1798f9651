package s3

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"mirrorfs/object"
)

// validateEncryption looks at what is asked of the server for what is put.
func (o *Options) validateEncryption() error {
	switch types.ServerSideEncryption(o.Encryption) {
	case "", types.ServerSideEncryptionAes256:
		if o.EncryptionKey != "" {
			return object.Invalidf("a key for encryption (sse_key) needs sse=aws:kms or sse=aws:kms:dsse")
		}
	case types.ServerSideEncryptionAwsKms, types.ServerSideEncryptionAwsKmsDsse:
	default:
		return object.Invalidf("encryption sse=%s, want AES256, aws:kms or aws:kms:dsse", o.Encryption)
	}
	switch types.StorageClass(o.StorageClass) {
	case types.StorageClassGlacier, types.StorageClassDeepArchive:
		return object.Invalidf("objects of storage class %s have to be restored before they can be read", o.StorageClass)
	}
	return nil
}

// decorate adds what the options say to a put.
func (o *Options) decorate(in *awss3.PutObjectInput, data []byte) {
	in.ServerSideEncryption = types.ServerSideEncryption(o.Encryption)
	if o.EncryptionKey != "" {
		in.SSEKMSKeyId = &o.EncryptionKey
	}
	in.StorageClass = types.StorageClass(o.StorageClass)
	in.RequestPayer = o.payer()
	if o.Checksums {
		// Known beforehand, it is a header. As a trailer many servers would refuse it.
		sum := binary.BigEndian.AppendUint32(nil, crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)))
		in.ChecksumCRC32C = aws.String(base64.StdEncoding.EncodeToString(sum))
	}
}

// payer is what requests say about who pays for them.
func (o *Options) payer() types.RequestPayer {
	if o.RequesterPays {
		return types.RequestPayerRequester
	}
	return ""
}

// describe adds these settings to an address.
func (o *Options) describe(query url.Values) {
	for name, value := range map[string]string{"sse": o.Encryption, "sse_key": o.EncryptionKey, "storage_class": o.StorageClass} {
		if value != "" {
			query.Set(name, value)
		}
	}
	for name, value := range map[string]bool{"requester_pays": o.RequesterPays, "checksums": o.Checksums} {
		if value {
			query.Set(name, "true")
		}
	}
}
