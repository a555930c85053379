package image

import (
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"syscall"

	"github.com/volumed/volumed/fault"
)

// place is a file within the allowed directory that it is reached through.
type place struct {
	root *os.Root
	name string // relative to it
}

// directoryOf returns the allowed directory that a file is below, and its name there.
// Kind: Invalid.
func (g *Gate) directoryOf(u *url.URL) (dir, name string, err error) {
	for _, dir := range g.cfg.Directories {
		name, err := filepath.Rel(dir, u.Path)
		if err == nil && filepath.IsLocal(name) && name != "." {
			return dir, name, nil
		}
	}
	return "", "", fault.New(fault.Invalid, "no file may be used at %s", u.Path).
		WithField("image.url").WithHint("an operator can allow its directory: image_file_allow")
}

// placeOf finds the allowed directory that a file is below. The caller closes the
// root. Kind: Invalid.
func (g *Gate) placeOf(u *url.URL) (place, error) {
	dir, name, err := g.directoryOf(u)
	if err != nil {
		return place{}, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return place{}, fault.New(fault.Invalid, "directory %s of image_file_allow cannot be used: %w", dir, err).WithField("image.url")
	}
	return place{root, name}, nil
}

// openFile opens a file below an allowed directory; no link leads out of that.
func (g *Gate) openFile(u *url.URL) (*os.File, int64, error) {
	p, err := g.placeOf(u)
	if err != nil {
		return nil, 0, err
	}
	defer p.root.Close()
	// Not to hang on a pipe that somebody has put there.
	f, err := p.root.OpenFile(p.name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, fileError(err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fault.New(fault.Invalid, "%s is not a regular file", u.Path).WithField("image.url")
	}
	if err != nil {
		_ = f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// fileError gives an error of the file system its kind.
func fileError(err error) error {
	kind := fault.Invalid
	switch {
	case errors.Is(err, fs.ErrNotExist):
		kind = fault.NotFound
	case errors.Is(err, fs.ErrExist):
		kind = fault.Exists
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		kind = fault.Exhausted
	case errors.Is(err, syscall.EIO):
		kind = fault.Internal
	}
	return fault.New(kind, "%w", err).WithField("image.url")
}
