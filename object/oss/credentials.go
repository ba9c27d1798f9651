package oss

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"

	sdk "github.com/aliyun/aliyun-oss-go-sdk/oss"

	"mirrorfs/object/cloud"
)

// metadataServer is the address of
// https://www.alibabacloud.com/help/en/ecs/user-guide/view-instance-metadata
const metadataServer = "http://100.100.100.200"

const (
	tokenHeader    = "X-Aliyun-Ecs-Metadata-Token"
	tokenTTLHeader = "X-Aliyun-Ecs-Metadata-Token-Ttl-Seconds"
	tokenTTL       = "60"
)

func source(metadata string) cloud.Source {
	server := cmp.Or(metadata, metadataServer)
	return cloud.Chain(
		cloud.Environment(cloud.Variables{
			ID: "OSS_ACCESS_KEY_ID", Secret: "OSS_ACCESS_KEY_SECRET", Token: "OSS_SESSION_TOKEN",
		}),
		cloud.File{
			Path: cmp.Or(os.Getenv("OSS_CONFIG_FILE"), "~/.ossutilconfig"),
			// ossutil 2, and ossutil 1.
			Sections: []string{"default", "credentials"},
			ID:       "accesskeyid", Secret: "accesskeysecret", Token: "ststoken",
		}.Source,
		cloud.Role{
			URL: server + "/latest/meta-data/ram/security-credentials/",
			Header: func(ctx context.Context, client *http.Client) http.Header {
				// An instance in hardened mode wants a token of its server first; one that
				// has none to give wants none.
				token, err := cloud.Fetch(ctx, client, http.MethodPut, server+"/latest/api/token",
					http.Header{tokenTTLHeader: {tokenTTL}})
				if err != nil {
					return nil
				}
				return http.Header{tokenHeader: {string(token)}}
			},
			Decode: decodeRole,
		}.Source,
	)
}

// decodeRole reads the document of
// https://www.alibabacloud.com/help/en/ecs/user-guide/attach-an-instance-ram-role-to-an-ecs-instance
func decodeRole(document []byte) (cloud.Credentials, error) {
	var d struct {
		Code, AccessKeyID, AccessKeySecret, SecurityToken string
		Expiration                                        time.Time
	}
	if err := json.Unmarshal(document, &d); err != nil {
		return cloud.Credentials{}, err
	}
	if d.Code != "Success" {
		return cloud.Credentials{}, fmt.Errorf("code %q", d.Code)
	}
	return cloud.Credentials{ID: d.AccessKeyID, Secret: d.AccessKeySecret, Token: d.SecurityToken, Expires: d.Expiration}, nil
}

// provider hands the SDK, which knows no ctx here, what was made ready for the
// request before.
type provider struct{ credentials *cloud.Provider }

// GetCredentials gives those that the last Get gave.
func (p provider) GetCredentials() sdk.Credentials { return credentials{p.credentials.Current()} }

type credentials struct{ c cloud.Credentials }

func (c credentials) GetAccessKeyID() string     { return c.c.ID }
func (c credentials) GetAccessKeySecret() string { return c.c.Secret }
func (c credentials) GetSecurityToken() string   { return c.c.Token }
