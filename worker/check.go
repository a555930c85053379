package worker

import (
	"context"
	"strconv"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/image"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// Bounds of what callers name. They are those of Cinder's columns.
const (
	maxText     = 255
	maxMetadata = 128 // entries
	// maxSize is the largest size in GiB whose bytes fit librbd's 63 bits.
	maxSize = 1<<33 - 1
)

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// checkID refuses what cannot be an id before it reaches the tables.
func checkID(field, id string) error {
	if id == "" {
		return fault.New(fault.Invalid, "%s is missing", field).WithField(field)
	}
	if u, err := uuid.Parse(id); err != nil || u.String() != id {
		return fault.New(fault.Invalid, "%s %s is not a UUID in lower case", field, strconv.Quote(id)).WithField(field)
	}
	return nil
}

func (w *Worker) checkCreate(ctx context.Context, r *rpc.CreateVolumeRequest) error {
	if err := oneSource(r); err != nil {
		return err
	}
	if err := checkText(r.Name, r.Description, r.Metadata); err != nil {
		return err
	}
	if err := firstOf(printable("availability_zone", r.AvailabilityZone), w.checkTyped(ctx, r.VolumeType)); err != nil {
		return err
	}
	var err error
	switch {
	case r.SnapshotID != "":
		err = checkID("snapshot_id", r.SnapshotID)
	case r.SourceVolID != "":
		err = checkID("source_volid", r.SourceVolID)
	case r.Image != nil:
		return firstOf(checkImage(r.Image), w.checkSize(ctx, "size", r.Size))
	default:
		return w.checkSize(ctx, "size", r.Size)
	}
	if err != nil || r.Size == 0 { // the size of the source
		return err
	}
	return w.checkSize(ctx, "size", r.Size)
}

// oneSource refuses a volume that would be made of two things.
func oneSource(r *rpc.CreateVolumeRequest) error {
	switch {
	case r.SnapshotID != "" && r.SourceVolID != "":
		return fault.New(fault.Invalid, "a volume has one source, not both a snapshot and a volume").WithField("source_volid")
	case r.Image != nil && (r.SnapshotID != "" || r.SourceVolID != ""):
		return fault.New(fault.Invalid, "a volume has one source, not an image and another").WithField("image")
	default:
		return nil
	}
}

// checkImage refuses what can be told to be wrong without a look at the image.
func checkImage(r *rpc.ImageSource) error {
	return image.Source{URL: r.URL, Format: image.Format(r.Format), Checksum: r.Checksum}.Check()
}

// unlessCloned refuses an image that volumes are made of, and not filled with.
func unlessCloned(r *rpc.ImageSource) error {
	if image.Scheme(r.URL) != image.SchemeRBD {
		return nil
	}
	return fault.New(fault.Unsupported, "an image of rbd: is cloned, not copied").WithField("image.url").
		WithHint("make a volume of it: volumectl volume create --image")
}

// checkTyped refuses a type that cannot be one, and any as long as a service lives that
// does not know of types: it might take the operation over.
func (w *Worker) checkTyped(ctx context.Context, name string) error {
	if name == "" {
		return nil
	}
	if err := printable("volume_type", name); err != nil {
		return err
	}
	return w.engine.Readable(ctx, "a volume with a type", typedSince)
}

// checkSize refuses sizes that can never be had: below 1 GiB, or above what the
// pool may promise in all.
func (w *Worker) checkSize(ctx context.Context, field string, size int64) error {
	if size < 1 || size > maxSize {
		return fault.New(fault.Invalid, "%s %d GiB is not between 1 and %d", field, size, int64(maxSize)).WithField(field)
	}
	last, err := w.lastCapabilities(ctx)
	if err != nil {
		return err
	}
	c := last.Capabilities
	if most := promisable(c); most != nil && float64(size) > *most {
		return unfit(size, field, w.cfg.Pool, *most).
			WithHint("the pool has %.2f GiB, times max_over_subscription_ratio %s", *c.TotalCapacityGB, c.MaxOverSubscriptionRatio)
	}
	return nil
}

// unfit is the error for a volume that a pool can never have.
func unfit(size int64, field, pool string, most float64) *fault.Error {
	return fault.New(fault.Invalid, "%d GiB do not fit: pool %s may promise %.0f GiB in all", size, pool, most).WithField(field)
}

// promisable returns the most GiB that the pool may promise to its volumes, nil where
// that is not known.
func promisable(c volume.Capabilities) *float64 {
	if c.TotalCapacityGB == nil {
		return nil
	}
	ratio, err := strconv.ParseFloat(c.MaxOverSubscriptionRatio, 64)
	if err != nil {
		return nil // auto: the scheduler's matter
	}
	most := *c.TotalCapacityGB * ratio
	return &most
}

// checkText refuses texts that would break a table, a log or a terminal.
func checkText(name, description string, metadata map[string]string) error {
	if err := firstOf(printable("name", name), printable("description", description)); err != nil {
		return err
	}
	if len(metadata) > maxMetadata {
		return fault.New(fault.Invalid, "metadata has %d entries, at most %d are kept", len(metadata), maxMetadata).WithField("metadata")
	}
	for k, v := range metadata {
		if k == "" {
			return fault.New(fault.Invalid, "metadata has an empty key").WithField("metadata")
		}
		if err := firstOf(printable("metadata", k), printable("metadata", v)); err != nil {
			return err
		}
	}
	return nil
}

func printable(field, s string) error {
	if utf8.RuneCountInString(s) > maxText {
		return fault.New(fault.Invalid, "%s is longer than %d characters", field, maxText).WithField(field)
	}
	if !utf8.ValidString(s) {
		return fault.New(fault.Invalid, "%s is not UTF-8", field).WithField(field)
	}
	for _, r := range s {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return fault.New(fault.Invalid, "%s %s has a control character", field, strconv.Quote(s)).WithField(field)
		}
	}
	return nil
}
