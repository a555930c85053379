package driver

import (
	"context"

	"github.com/volumed/volumed/volume"
)

// Mender is a backend on which a flatten that was cut off can leave a volume that
// nobody can open.
type Mender interface {
	// MendFlattened makes such a volume usable again. It copies nothing; a volume
	// that is usable is success. It may be repeated. Kinds: those of every method.
	MendFlattened(ctx context.Context, v volume.Ref) error
}
