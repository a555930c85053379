package lifeline

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

const snapshotSeals = unix.F_SEAL_WRITE | unix.F_SEAL_GROW | unix.F_SEAL_SHRINK | unix.F_SEAL_SEAL

// Snapshot returns data as a sealed file in memory: whoever inherits it reads
// exactly these bytes, and nobody can change them any more. The caller closes it.
func Snapshot(data []byte) (_ *os.File, err error) {
	fd, err := unix.MemfdCreate("volumed-config", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("create config snapshot: %w", err)
	}
	f := os.NewFile(uintptr(fd), "config snapshot")
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if _, err := f.Write(data); err != nil {
		return nil, fmt.Errorf("write config snapshot: %w", err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, snapshotSeals); err != nil {
		return nil, fmt.Errorf("seal config snapshot: %w", err)
	}
	return f, nil
}

// readSnapshot returns the bytes of a sealed file. It does not move the offset,
// which all children that inherit one snapshot share.
func readSnapshot(f *os.File) ([]byte, error) {
	seals, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0)
	if err != nil || seals&snapshotSeals != snapshotSeals {
		return nil, errors.New("config snapshot: the inherited descriptor is not a sealed file; start the process by its parent")
	}
	data, err := io.ReadAll(io.NewSectionReader(f, 0, math.MaxInt64))
	if err != nil {
		return nil, fmt.Errorf("read config snapshot: %w", err)
	}
	return data, nil
}
