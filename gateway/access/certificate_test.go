package access_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mirrorfs/gateway/access"
)

// certificate makes a certificate for a host, and its key.
func certificate(t *testing.T, serial int64) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "localhost"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	bytes, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: bytes}))
}

func TestCertificateIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	o := access.CertificateOptions{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem"), Interval: time.Millisecond}
	var log syncBuffer
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	if _, err := access.NewCertificate(o); err == nil {
		t.Fatal("no files, and no error")
	}
	cert, key := certificate(t, 1)
	put(t, o.CertFile, cert)
	put(t, o.KeyFile, key)
	c, err := access.NewCertificate(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	serial := func() int64 {
		now, err := c.Config().GetCertificate(&tls.ClientHelloInfo{})
		if err != nil {
			t.Fatal(err)
		}
		return now.Leaf.SerialNumber.Int64()
	}
	cert, key = certificate(t, 2)
	put(t, o.CertFile, cert) // without its key it is of no use yet
	eventually(t, "told", func() bool { return strings.Contains(log.String(), "not read again") })
	if serial() != 1 {
		t.Error("the old certificate is presented no more, the new one cannot be yet")
	}
	put(t, o.KeyFile, key)
	eventually(t, "presented", func() bool { return serial() == 2 })
}
