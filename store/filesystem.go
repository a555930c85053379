package store

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/volumed/volumed/fault"
)

// networked are the file systems on which SQLite's locks or its shared memory do
// not reach every machine that may write, by their magic numbers of statfs(2).
var networked = map[int64]string{
	unix.NFS_SUPER_MAGIC:   "NFS",
	unix.SMB_SUPER_MAGIC:   "SMB",
	unix.CIFS_SUPER_MAGIC:  "CIFS",
	unix.SMB2_SUPER_MAGIC:  "SMB2",
	unix.CEPH_SUPER_MAGIC:  "CephFS",
	unix.FUSE_SUPER_MAGIC:  "FUSE",
	unix.V9FS_MAGIC:        "9p",
	unix.AFS_SUPER_MAGIC:   "AFS",
	unix.AFS_FS_MAGIC:      "AFS",
	unix.CODA_SUPER_MAGIC:  "Coda",
	unix.OCFS2_SUPER_MAGIC: "OCFS2",
	0x01161970:             "GFS2",
	0x0bd00bd0:             "Lustre",
	0x47504653:             "GPFS",
	0x786f4256:             "vboxsf",
	0xbacbacbc:             "vmhgfs",
}

// statfs returns the magic number of the file system that dir is on. It looks at
// the directory: a descriptor of the database itself would, once closed, take the
// locks of the whole process with it.
func statfs(dir string) (int64, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(stat.Type), nil //nolint:unconvert // 32 bits wide on some platforms
}

// checkFilesystem refuses a directory that is not on a local file system.
func checkFilesystem(dir string, statfs func(string) (int64, error)) error {
	magic, err := statfs(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return fault.New(fault.Invalid, "the directory of the database is not there: %w", err).WithField("connection")
	}
	if err != nil {
		return fault.New(fault.Unavailable, "the directory of the database cannot be looked at: %w", err)
	}
	if name, ok := networked[magic&0xffffffff]; ok {
		return fault.New(fault.Invalid, "%s is on %s: SQLite needs a local file system", dir, name).
			WithField("connection").WithHint("put the file on a local disk, or use PostgreSQL")
	}
	return nil
}
