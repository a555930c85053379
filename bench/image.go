package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/volumed/volumed/rpc"
)

// What is brought in: images of so many GiB, of which every second stretch is empty.
const (
	imageSize    = 4
	imageStretch = 64 << 20
)

// measureImages: a volume from an image takes little longer than the tool that does just
// that takes.
func measureImages(ctx context.Context, w *world) error {
	dir, err := os.MkdirTemp(w.dir, "images-")
	if err != nil {
		return err
	}
	raw, qcow2 := filepath.Join(dir, "raw"), filepath.Join(dir, "qcow2")
	if err := errors.Join(halfEmpty(raw), run(ctx, "qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, qcow2)); err != nil {
		return err
	}
	s, err := w.serve(ctx, w.cluster, "image_file_allow = "+dir+"\n")
	if err != nil {
		return err
	}
	defer func() { _ = s.stop() }()
	target := fmt.Sprintf("rbd:volumes/floor:id=volumed:conf=%s", w.cluster.conf)
	for _, m := range []struct {
		what, path, bar string
		floor           []string
	}{
		{"qcow2, beside qemu-img convert", qcow2, "≤ 1.2 ×", []string{"qemu-img", "convert", "-f", "qcow2", "-O", "raw", qcow2, target}},
		{"raw, beside rbd import", raw, "≤ 1.1 ×", []string{"rbd", "-c", w.cluster.conf, "--id", "volumed", "import", "--no-progress", raw, "volumes/floor"}},
	} {
		var floors, ours []time.Duration
		for range w.runs {
			floor, err := w.imageFloor(ctx, m.floor)
			if err != nil {
				return err
			}
			took, err := s.imported(ctx, m.path)
			if err != nil {
				return err
			}
			floors, ours = append(floors, floor), append(ours, took)
		}
		w.table.times(fmt.Sprintf("volume from an image of %d GiB, half empty: %s", imageSize, m.what), floors, ours, m.bar)
	}
	return nil
}

// halfEmpty makes a raw image.
func halfEmpty(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	random, buf := rand.NewChaCha8([32]byte{1}), make([]byte, imageStretch)
	for at := int64(0); at < imageSize*gib && err == nil; at += 2 * imageStretch {
		_, _ = random.Read(buf)
		_, err = f.WriteAt(buf, at)
	}
	return errors.Join(err, f.Truncate(imageSize*gib), f.Close())
}

func run(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}

// imageFloor runs the tool, and removes what it has made.
func (w *world) imageFloor(ctx context.Context, command []string) (time.Duration, error) {
	begin := time.Now()
	err := run(ctx, command[0], command[1:]...)
	took := time.Since(begin)
	return took, errors.Join(err, run(ctx, "rbd", "-c", w.cluster.conf, "--id", "volumed", "rm", "--no-progress", "volumes/floor"))
}

// imported makes a volume from the image, and removes it.
func (s *service) imported(ctx context.Context, path string) (time.Duration, error) {
	begin := time.Now()
	req := rpc.CreateVolumeRequest{Size: imageSize, Image: &rpc.ImageSource{URL: "file://" + path}}
	reply, err := s.client.CreateVolume(ctx, services[0], req, rpc.CallOptions{Wait: 10 * wait})
	if err != nil {
		return 0, err
	}
	took := time.Since(begin)
	if _, err := s.deleteMany(ctx, []string{reply.Volume.ID}); err != nil {
		return 0, err
	}
	return took, s.purged(ctx)
}
