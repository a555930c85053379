package bus

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/volumed/volumed/fault"
)

// user is the one user of the bus.
const user = "volumed"

// login is what a client needs beside the address.
type login struct{ user, password string }

// urlFile is where the address of the bus and its login are kept.
func urlFile(statePath string) string { return filepath.Join(statePath, "bus.url") }

// readLogin returns the login of an earlier start, or a new one.
func readLogin(statePath string) (login, error) {
	text, err := os.ReadFile(urlFile(statePath))
	if errors.Is(err, fs.ErrNotExist) {
		return login{user, rand.Text()}, nil
	}
	if err != nil {
		return login{}, fault.New(fault.Unavailable, "%w", err)
	}
	u, err := url.Parse(strings.TrimSpace(string(text)))
	if err == nil && u.User != nil {
		if password, ok := u.User.Password(); ok && password != "" && u.User.Username() != "" {
			return login{u.User.Username(), password}, nil
		}
	}
	// The cause is left out: it would repeat the password.
	return login{}, fault.New(fault.Invalid, "%s does not hold nats://USER:PASSWORD@HOST:PORT", urlFile(statePath)).
		WithHint("remove the file; a new one is written, and clients must read it again")
}

// write keeps the login and the address in one rename, so that a reader finds
// all of it or what was there before.
func (l login) write(statePath, address string) (err error) {
	defer func() {
		if err != nil {
			err = fault.New(fault.Unavailable, "keep the credentials: %w", err)
		}
	}()
	tmp, err := os.CreateTemp(statePath, "bus.url-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // gone already when all went well
	u := url.URL{Scheme: "nats", User: url.UserPassword(l.user, l.password), Host: address}
	_, err = tmp.WriteString(u.String() + "\n")
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), urlFile(statePath))
}
