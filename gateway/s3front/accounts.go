package s3front

import (
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/s3err"
)

// accounts shows Keys to the library.
type accounts struct{ keys Keys }

var _ auth.IAMService = accounts{}

// GetUserAccount gives an account that may do everything: the API decides.
func (a accounts) GetUserAccount(access string) (auth.Account, error) {
	secret, ok := a.keys.Secret(access)
	if !ok {
		return auth.Account{}, auth.ErrNoSuchUser
	}
	return auth.Account{Access: access, Secret: secret, Role: auth.RoleAdmin}, nil
}

// ResolveAccounts gives those of the access keys that nobody has.
func (a accounts) ResolveAccounts(keys []string) ([]string, error) {
	var unknown []string
	for _, k := range keys {
		if _, ok := a.keys.Secret(k); !ok {
			unknown = append(unknown, k)
		}
	}
	return unknown, nil
}

// What administers accounts is not done over S3.

func (accounts) CreateAccount(auth.Account) error                  { return errNoAdmin() }
func (accounts) UpdateUserAccount(string, auth.MutableProps) error { return errNoAdmin() }
func (accounts) DeleteUserAccount(string) error                    { return errNoAdmin() }
func (accounts) ListUserAccounts() ([]auth.Account, error)         { return nil, errNoAdmin() }
func (accounts) Shutdown() error                                   { return nil }

func errNoAdmin() error { return s3err.GetAPIError(s3err.ErrAdminMethodNotSupported) }
