package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/volumed/volumed/fault"
)

func TestNetworkFilesystems(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "volumed.db")
	for magic, name := range networked {
		opts := Options{filesystem: func(looked string) (int64, error) {
			if looked != dir {
				t.Errorf("looked at %s", looked)
			}
			return magic, nil
		}}
		_, err := Open(t.Context(), "sqlite:///"+path, opts)
		if f := fault.Of(err); f == nil || f.Kind != fault.Invalid || f.Field != "connection" || f.Hint == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	// statfs has 32 bits on some platforms, and sign-extends there.
	if err := checkFilesystem(dir, func(string) (int64, error) { return int64(int32(-0x00acb2be)), nil }); err == nil {
		t.Error("a negative magic number of CIFS is not known") // 0xff534d42
	}
	for _, magic := range []int64{unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.TMPFS_MAGIC, unix.BTRFS_SUPER_MAGIC} {
		if err := checkFilesystem(dir, func(string) (int64, error) { return magic, nil }); err != nil {
			t.Error(err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("something was written: %v, %v", entries, err)
	}
}

func TestDirectoryIsNotThere(t *testing.T) {
	url := "sqlite:///" + filepath.Join(t.TempDir(), "none", "volumed.db")
	_, err := Open(t.Context(), url, Options{})
	for _, err := range []error{err, Migrate(t.Context(), url, quiet{})} {
		if fault.KindOf(err) != fault.Invalid || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("error = %v", err)
		}
	}
}
