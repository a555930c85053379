package worker

import (
	"context"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/volume"
)

// adopter is a driver that takes over what others have made, with all around its calls
// that is around those of the driver.
type adopter struct {
	driver.Adopter
	all driver.Driver
}

// adopts finds the ability to take over what others have made.
func (w *Worker) adopts() error {
	_, err := driver.Ability[driver.Adopter](w.driver, "take over what others have made")
	return err
}

// adopter is the driver, of a service that has accepted to take something over.
func (w *Worker) adopter() adopter {
	a, _ := driver.As[driver.Adopter](w.driver)
	return adopter{a, w.driver}
}

// Images implements driver.Adopter.
func (a adopter) Images(ctx context.Context) (refs []volume.Ref, err error) {
	err = driver.SurroundListing(ctx, a.all, "Images", func() (err error) {
		refs, err = a.Adopter.Images(ctx)
		return err
	})
	return refs, err
}

// Survey implements driver.Adopter.
func (a adopter) Survey(ctx context.Context, refs []volume.Ref, deep bool) (images []volume.Image, err error) {
	err = driver.SurroundListing(ctx, a.all, "Survey", func() (err error) {
		images, err = a.Adopter.Survey(ctx, refs, deep)
		return err
	})
	return images, err
}

// Depth implements driver.Adopter.
func (a adopter) Depth(ctx context.Context, v volume.Ref) (depth int, err error) {
	err = driver.SurroundBrief(ctx, a.all, "Depth", v.Name, func() (err error) {
		depth, err = a.Adopter.Depth(ctx, v)
		return err
	})
	return depth, err
}

// Inspect implements driver.Inventory.
func (a adopter) Inspect(ctx context.Context, v volume.Ref, deep bool) (images []volume.Image, err error) {
	err = driver.SurroundBrief(ctx, a.all, "Inspect", v.Name, func() (err error) {
		images, err = a.Adopter.Inspect(ctx, v, deep)
		return err
	})
	return images, err
}

// RenameVolume implements driver.Adopter.
func (a adopter) RenameVolume(ctx context.Context, v volume.Ref, to string) error {
	return driver.SurroundBrief(ctx, a.all, "RenameVolume", v.Name, func() error { return a.Adopter.RenameVolume(ctx, v, to) })
}

// RenameSnapshot implements driver.Adopter.
func (a adopter) RenameSnapshot(ctx context.Context, s volume.SnapshotRef, to string) error {
	return driver.SurroundBrief(ctx, a.all, "RenameSnapshot", s.String(), func() error { return a.Adopter.RenameSnapshot(ctx, s, to) })
}
