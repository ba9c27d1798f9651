package bucket

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"syscall"

	"mirrorfs/object"
)

// Advice says what to do about an error of a store, in words for whoever chose the bucket.
func Advice(err error) string {
	var (
		dns     *net.DNSError
		cert    *tls.CertificateVerificationError
		record  tls.RecordHeaderError
		unknown x509.UnknownAuthorityError
		network net.Error
	)
	switch {
	case errors.Is(err, object.ErrNoBucket):
		return "make the bucket, or correct its name, region and endpoint"
	case errors.Is(err, object.ErrDenied):
		return "check the credentials, the clock of this machine, and that they may read, write, list and delete there: docs/stores.md says where they come from and has a policy to paste; of file:///dir the directory's permissions"
	case errors.Is(err, object.ErrThrottled):
		return "ask the provider for a higher rate of requests, or try again when others use less of it"
	case errors.Is(err, object.ErrNoSpace):
		return "make room, or raise the quota"
	case errors.Is(err, object.ErrInvalid), errors.Is(err, object.ErrExist), errors.Is(err, object.ErrNotExist):
		return "use another server for the bucket, or one without versions: docs/stores.md says what it must be able to do"
	case errors.As(err, &dns):
		return "the endpoint's name is not known here: correct the endpoint or region, or the resolver of this machine"
	case errors.As(err, &cert), errors.As(err, &unknown):
		return "the endpoint's certificate is not trusted here: AWS_CA_BUNDLE or SSL_CERT_FILE name the authority of one's own"
	case errors.As(err, &record):
		return "the endpoint does not speak TLS: write http:// instead of https://"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: correct the endpoint's host and port, or start the server"
	case errors.Is(err, object.ErrTimeout), errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return "no answer in time: look for a firewall, a proxy (HTTPS_PROXY, NO_PROXY) or a wrong endpoint on the way"
	default:
		return "check the address, the endpoint and the network; of file:///dir that there is such a disk and room on it"
	}
}
