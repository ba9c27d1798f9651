package cos

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"

	sdk "github.com/tencentyun/cos-go-sdk-v5"

	"mirrorfs/object/cloud"
)

// metadataServer is the address of
// https://www.tencentcloud.com/document/product/213/4934
const metadataServer = "http://metadata.tencentyun.com"

func source(metadata string) cloud.Source {
	file := cloud.File{ID: "secret_id", Secret: "secret_key", Token: "token"}
	shared, coscmd := file, file
	shared.Path = cmp.Or(os.Getenv("TENCENTCLOUD_CREDENTIALS_FILE"), "~/.tencentcloud/credentials")
	shared.Sections = []string{"default"}
	coscmd.Path, coscmd.Sections = "~/.cos.conf", []string{"common"}
	return cloud.Chain(
		cloud.Environment(cloud.Variables{ID: "COS_SECRETID", Secret: "COS_SECRETKEY", Token: "COS_SESSION_TOKEN"}),
		cloud.Environment(cloud.Variables{
			ID: "TENCENTCLOUD_SECRET_ID", Secret: "TENCENTCLOUD_SECRET_KEY", Token: "TENCENTCLOUD_TOKEN",
		}),
		shared.Source,
		coscmd.Source,
		cloud.Role{
			URL:    cmp.Or(metadata, metadataServer) + "/latest/meta-data/cam/security-credentials/",
			Decode: decodeRole,
		}.Source,
	)
}

// decodeRole reads the document of https://www.tencentcloud.com/document/product/213/4934
func decodeRole(document []byte) (cloud.Credentials, error) {
	var d struct {
		Code, TmpSecretID, TmpSecretKey, Token string
		ExpiredTime                            int64
	}
	if err := json.Unmarshal(document, &d); err != nil {
		return cloud.Credentials{}, err
	}
	if d.Code != "Success" {
		return cloud.Credentials{}, fmt.Errorf("code %q", d.Code)
	}
	return cloud.Credentials{
		ID: d.TmpSecretID, Secret: d.TmpSecretKey, Token: d.Token, Expires: time.Unix(d.ExpiredTime, 0),
	}, nil
}

// signedFor is how long a signature is valid: longer than an upload waits for a
// connection, shorter than anyone needs to find a use for it.
const signedFor = 15 * time.Minute

// signer signs requests with credentials that are valid at that time.
type signer struct {
	next        http.RoundTripper
	credentials *cloud.Provider
}

// RoundTrip signs a copy of the request.
func (s signer) RoundTrip(r *http.Request) (*http.Response, error) {
	c, err := s.credentials.Get(r.Context())
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, err
	}
	r = r.Clone(r.Context())
	sdk.AddAuthorizationHeader(c.ID, c.Secret, c.Token, r, sdk.NewAuthTime(signedFor))
	return s.next.RoundTrip(r)
}
