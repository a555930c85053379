package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// image returns the path of a raw image that holds what pool.write writes.
func (a *arena) image() string { return a.writeImage("image", original) }

func (a *arena) writeImage(name, content string) (path string) {
	a.t.Helper()
	path = filepath.Join(a.imageDir, name)
	f, err := os.Create(path)
	if err != nil {
		a.t.Fatal(err)
	}
	err = f.Truncate(24 << 20)
	for n := range int64(3) {
		_, werr := f.WriteAt([]byte(content), n*8<<20)
		err = errors.Join(err, werr)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		a.t.Fatal(err)
	}
	return path
}

// inQCOW2 has the same asked for, of the same image in another format.
func (c *cell) inQCOW2() {
	c.t.Helper()
	to := c.imageDir + "/image.qcow2"
	if out, err := exec.Command("qemu-img", "convert", "-f", "raw", "-O", "qcow2", c.image(), to).CombinedOutput(); err != nil {
		c.t.Fatalf("qemu-img: %v, %s (apt-get install qemu-utils qemu-block-extra)", err, out)
	}
	switch c.way.target {
	case rpc.MethodReimage:
		c.ask = c.asksForReimage(to)
	case rpc.MethodCopyVolumeToImage:
		c.ask = c.asksForCopy("qcow2")
	default:
		c.ask = c.asksForImage(to)
	}
}

func (a *arena) asksForImage(path string) ask {
	return a.asksForVolume(rpc.CreateVolumeRequest{Size: 1, Image: &rpc.ImageSource{URL: "file://" + path}})
}

// cachedImage returns an image that is in the cache.
func (a *arena) cachedImage() string {
	a.t.Helper()
	path := filepath.Join(a.imageDir, "cached")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if err := os.Rename(a.image(), path); err != nil {
		a.t.Fatal(err)
	}
	a.createVolume(rpc.CreateVolumeRequest{Size: 1, Image: &rpc.ImageSource{URL: "file://" + path}})
	return path
}

// uncached has the volume made of an image that is not in the cache, and may be too large
// for it.
func (c *cell) uncached() {
	c.ask = c.asksForVolume(rpc.CreateVolumeRequest{Size: 2, Image: &rpc.ImageSource{URL: "file://" + c.image()}})
}

// clonedImage returns the URL of an image in a pool of others.
func (a *arena) clonedImage() string {
	a.t.Helper()
	name := a.imagePool + "/image"
	if a.imageURL == "" {
		a.ceph.RBD(a.t, "import", "--no-progress", a.image(), name)
		a.ceph.RBD(a.t, "snap", "create", "--no-progress", name+"@snap")
		a.ceph.RBD(a.t, "snap", "protect", name+"@snap")
		a.imageURL = "rbd://" + strings.TrimSpace(a.ceph.Ceph(a.t, "fsid")) + "/" + name + "/snap"
	}
	return a.imageURL
}

// asksForReimage asks for one of the volume that the arena keeps for it.
func (a *arena) asksForReimage(path string) ask {
	req := rpc.ReimageRequest{VolumeID: a.reimagedID, Image: rpc.ImageSource{URL: "file://" + path}}
	return func(o rpc.CallOptions) (*volume.Operation, error) {
		reply, err := a.client.Reimage(a.group.Context(), a.backend(0), req, o)
		return reply.Operation, err
	}
}

// reimaged brings the volume of a reimage that was cancelled to rest.
func (c *cell) reimaged() {
	c.t.Helper()
	if status := c.strings("SELECT status FROM volumes WHERE id = $1", c.reimagedID)[0]; status == string(volume.Error) {
		op, err := c.asksForReimage(c.image())(wait)
		c.succeeded("reimage", op, err)
	}
}

// asksForCopy asks for an image of the source in a new place.
func (a *arena) asksForCopy(format string) ask {
	a.copies++
	a.copyTo, a.copyFormat = fmt.Sprintf("%s/copy%d", a.imageDir, a.copies), format
	req := rpc.CopyVolumeToImageRequest{VolumeID: a.source(), Image: rpc.ImageTarget{URL: "file://" + a.copyTo, Format: format}}
	return func(o rpc.CallOptions) (*volume.Operation, error) {
		reply, err := a.client.CopyVolumeToImage(a.group.Context(), a.backend(0), req, o)
		return reply.Operation, err
	}
}

// copied sees that the copy holds what the source does, and that nothing is beside it.
func (c *cell) copied() {
	c.t.Helper()
	plain := c.copyTo + ".plain"
	if out, err := exec.Command("qemu-img", "convert", "-f", c.copyFormat, "-O", "raw", c.copyTo, plain).CombinedOutput(); err != nil {
		c.t.Errorf("qemu-img: %v, %s", err, out)
		return
	}
	f, err := os.Open(plain)
	if err != nil {
		c.t.Fatal(err)
	}
	defer f.Close()
	for n := range int64(3) {
		data := make([]byte, len(original))
		if _, err := f.ReadAt(data, n*8<<20); err != nil || !bytes.Equal(data, []byte(original)) {
			c.t.Errorf("the image holds %q at %d, %v", data, n*8<<20, err)
		}
	}
	if err := errors.Join(os.Remove(plain), os.Remove(c.copyTo)); err != nil {
		c.t.Error(err)
	}
	c.notCopied()
}

// notCopied sees that there is nothing of a copy.
func (c *cell) notCopied() {
	c.t.Helper()
	found, _ := filepath.Glob(c.imageDir + "/*copy*")
	hidden, _ := filepath.Glob(c.imageDir + "/.*")
	if left := append(found, hidden...); len(left) > 0 {
		c.t.Errorf("left: %v", left)
	}
}
