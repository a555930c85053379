package image

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"hash"
	"strings"

	"github.com/volumed/volumed/fault"
)

// digest compares what is written to it with a checksum. The zero digest is content
// with everything.
type digest struct {
	hash hash.Hash
	want string
}

// newDigest reads a checksum such as sha256:9f86….
func newDigest(checksum string) (d digest, err error) {
	if checksum == "" {
		return d, nil
	}
	name, want, _ := strings.Cut(checksum, ":")
	switch name {
	case "sha256":
		d.hash = sha256.New()
	case "sha512":
		d.hash = sha512.New()
	default:
		return d, fault.New(fault.Invalid, "the checksum does not begin with sha256: or sha512:").WithField("image.checksum")
	}
	d.want = strings.ToLower(want)
	if sum, err := hex.DecodeString(want); err != nil || len(sum) != d.hash.Size() {
		return d, fault.New(fault.Invalid, "the checksum is not %d hexadecimal digits", 2*d.hash.Size()).WithField("image.checksum")
	}
	return d, nil
}

func (d *digest) write(p []byte) {
	if d.hash != nil {
		_, _ = d.hash.Write(p) // a hash takes everything
	}
}

// check is Invalid unless all that was written has the checksum.
func (d *digest) check() error {
	if d.hash == nil {
		return nil
	}
	if got := hex.EncodeToString(d.hash.Sum(nil)); got != d.want {
		return fault.New(fault.Invalid, "the image has the checksum %s, not %s", got, d.want).WithField("image.checksum")
	}
	return nil
}
