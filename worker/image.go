package worker

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/image"
	"github.com/volumed/volumed/internal/crashpoint"
	"github.com/volumed/volumed/internal/redact"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// createFromImage makes a volume of an image that comes from a file or a web server. All
// that can be found wrong with the image is found before there is a volume. A process
// that comes after one that died begins with the image again: what is in the volume by
// then is given back first.
func (w *Worker) createFromImage() operation.Method[creation] {
	return operation.Method[creation]{
		Name: methodCreateFromImage, Since: "1.1", Resource: volume.VolumeResource, Lane: operation.Bulk, Target: operation.Exclusive, Creates: true,
		Overwrites: true,
		Accept:     w.acceptImport,
		Steps:      []operation.Step[creation]{{Name: "import", Interruptible: true, Run: w.importNew}},
		Undo:       w.removeCreated, Finish: w.finishCreate,
	}
}

func (w *Worker) acceptImport(tx operation.Tx, op *volume.Operation, c *creation) error {
	if _, err := driver.Ability[driver.Writer](w.driver, fillVolumes); err != nil {
		return err
	}
	return w.insertVolume(tx, op, c, nil)
}

// cloneImage makes a volume as a clone of an image on the same storage.
func (w *Worker) cloneImage() operation.Method[creation] {
	apart := func(c *creation) bool { return c.apart }
	return operation.Method[creation]{
		Name: methodCloneImage, Since: "1.1", Resource: volume.VolumeResource, Lane: operation.Work, Target: operation.Exclusive, Creates: true,
		Accept: func(tx operation.Tx, op *volume.Operation, c *creation) error {
			if _, err := driver.Ability[driver.ImageCloner](w.driver, "clone images"); err != nil {
				return err
			}
			err := w.insertVolume(tx, op, c, nil)
			c.Configure = true // whatever the image has, the clone inherits
			return err
		},
		Steps: []operation.Step[creation]{{Name: "clone", Run: func(ctx context.Context, t *operation.Task, c *creation) error {
			cloner, _ := driver.As[driver.ImageCloner](w.driver)
			spec := w.spec(t, c)
			c.facts = imageFacts(*c.Image, image.Raw)
			err := driver.Surround(ctx, w.driver, "CloneImage", spec.Name, nil, func(driver.Progress) (err error) {
				c.made, err = cloner.CloneImage(ctx, spec, c.Image.URL)
				return err
			})
			if err != nil {
				return err
			}
			c.apart = c.made.Depth > max(w.cfg.MaxCloneDepth, 0) // nobody else's image is flattened for it
			return w.setUpCreated(ctx, t, c)
		}}, {Name: "detach", Lane: operation.Flatten, Interruptible: true, When: apart, Run: w.detach}},
		Undo: w.removeCreated, Finish: w.finishCreate,
	}
}

// fillVolumes is what a driver.Writer can do.
const fillVolumes = "fill volumes"

func (w *Worker) importNew(ctx context.Context, t *operation.Task, c *creation) error {
	in, err := w.receive(ctx, t, *c.Image, c.Size, false)
	if err != nil {
		return err
	}
	defer in.close()
	// The call is short, and one that was left behind would make an image that nobody removes.
	c.made, err = w.driver.CreateVolume(context.WithoutCancel(ctx), w.spec(t, c))
	if err != nil {
		return err
	}
	if err := w.setUpCreated(context.WithoutCancel(ctx), t, c); err != nil {
		return err
	}
	if err := w.downloading(ctx, c.VolumeID); err != nil {
		return err
	}
	ref := w.spec(t, c).Ref
	ref.ImageID, c.facts = c.made.ImageID, in.facts
	if !t.Repeat() {
		return w.fill(ctx, t, ref, in)
	}
	if err := w.alone(ctx, ref); err != nil {
		return err
	}
	if err := w.fill(ctx, t, ref, in); err != nil {
		return err
	}
	// One that was begun at the last moment may have written into it since.
	return w.alone(ctx, ref)
}

// downloading says in the volume's row what is going on.
func (w *Worker) downloading(ctx context.Context, id string) error {
	return crashpoint.Around(ctx, "sql.status", func() error {
		return w.store.Write(context.WithoutCancel(ctx), w.fence, func(tx operation.Tx) error {
			v, err := tx.Volume(id)
			if err != nil || v.Status == volume.Downloading {
				return err
			}
			return move(tx, &v, volume.Downloading)
		})
	})
}

// incoming is an image that has been found to be good for a volume.
type incoming struct {
	stream *image.Stream
	whole  *image.Whole // nil for what can be written as it comes
	facts  map[string]string
}

func (in *incoming) close() {
	if in.whole != nil {
		_ = in.whole.Close()
	}
	_ = in.stream.Close()
}

// fetchShare is how much of the progress is the way into the spool, in percent.
const fetchShare = 40

// receive begins to read an image for a volume of size GiB. What cannot be written as it
// comes is fetched whole, and so is what has a checksum if that is wanted before a byte is
// written. The caller closes what is returned.
func (w *Worker) receive(ctx context.Context, t *operation.Task, r rpc.ImageSource, size int64, checked bool) (*incoming, error) {
	return w.receiveWanted(ctx, t, r, size, checked, "")
}

// receiveWanted is receive of the image with an identity, if one is given. Another one is
// refused as soon as that shows: where the server tells its size only at the end, then.
// Kind: Conflict.
func (w *Worker) receiveWanted(ctx context.Context, t *operation.Task, r rpc.ImageSource, size int64, checked bool, identity string) (_ *incoming, err error) {
	stream, err := w.images.Open(ctx, image.Source{URL: r.URL, Format: image.Format(r.Format), Checksum: r.Checksum}, size*volume.GiB)
	if err != nil {
		return nil, err
	}
	in := &incoming{stream: stream, facts: imageFacts(r, stream.Format)}
	defer func() {
		if err != nil {
			in.close()
		}
	}()
	if identity != "" && stream.Identity() != "" {
		if err := unchanged(stream, identity); err != nil {
			return nil, err
		}
	}
	virtual, came := stream.Size, stream.Size
	if !stream.Direct() || checked && r.Checksum != "" {
		in.whole, err = stream.Whole(size*volume.GiB, func(bytes int64) {
			if stream.Size > 0 {
				t.Progress(int(bytes * fetchShare / stream.Size))
			}
		})
		if err != nil {
			return nil, err
		}
		virtual, came = in.whole.Virtual, in.whole.Size
	}
	if identity != "" {
		if err := unchanged(stream, identity); err != nil {
			return nil, err
		}
	}
	in.facts[volume.ImageVirtual], in.facts[volume.ImageSize] = strconv.FormatInt(virtual, 10), strconv.FormatInt(came, 10)
	return in, nil
}

// imageFacts is what a volume keeps of its image.
func imageFacts(r rpc.ImageSource, format image.Format) map[string]string {
	facts := map[string]string{volume.ImageURL: redact.URL(r.URL), volume.ImageFormat: string(format)}
	if r.Checksum != "" {
		facts[volume.ImageChecksum] = r.Checksum
	}
	return facts
}

// fill makes the volume hold the image, and nothing else.
func (w *Worker) fill(ctx context.Context, t *operation.Task, v volume.Ref, in *incoming) error {
	writer, _ := driver.As[driver.Writer](w.driver)
	data, size := in.stream.Read, in.stream.Size
	switch {
	case in.whole == nil:
	case in.whole.Format == image.Raw:
		data, size = in.whole.Data().Read, in.whole.Size
	default:
		return w.convert(ctx, t, writer, v, in.whole)
	}
	return driver.Surround(ctx, w.driver, "WriteVolume", v.Name, t.Progress, func(p driver.Progress) error {
		return writer.WriteVolume(ctx, v, readerFunc(data), size, p)
	})
}

// readerFunc is a reader made of its method.
type readerFunc func([]byte) (int, error)

// Read implements io.Reader.
func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// convert has qemu-img write the image into a volume that is cleared before.
func (w *Worker) convert(ctx context.Context, t *operation.Task, writer driver.Writer, v volume.Ref, whole *image.Whole) error {
	exporter, err := driver.Ability[driver.Exporter](w.driver, "be written to by qemu-img, which an image of the format "+string(whole.Format)+" needs")
	if err != nil {
		return err
	}
	err = driver.Surround(ctx, w.driver, "ClearVolume", v.Name, nil, func(p driver.Progress) error {
		return writer.ClearVolume(ctx, v, p)
	})
	if err != nil {
		return err
	}
	if err := w.confirm(ctx); err != nil { // a successor does not know the child
		return err
	}
	err = crashpoint.Around(ctx, "qemu.import", func() error {
		return w.images.Import(ctx, whole, exporter.BlockNode(v, ""), func(percent int) {
			t.Progress(fetchShare + percent*(100-fetchShare)/100)
		})
	})
	return w.unlessAway(ctx, err)
}

// unlessAway tells a failure of qemu-img, which says of everything that it failed, from
// one of the cluster, which is waited out.
func (w *Worker) unlessAway(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	if away := w.driver.Ping(ctx); fault.KindOf(away) == fault.Unavailable {
		return errors.Join(away, err)
	}
	return err
}

// unwatched refuses a volume that somebody has open. A process before this one may, for
// a while.
func (w *Worker) unwatched(ctx context.Context, t *operation.Task, v volume.Ref) error {
	if t.Repeat() {
		if err := w.shakeOff(ctx, v); err != nil {
			return err
		}
	}
	others, err := w.watchers(ctx, v)
	if err != nil || len(others) == 0 {
		return err
	}
	busy := fault.New(fault.Busy, "the volume is open").WithBlockers(others...).WithHint("detach it first")
	if t.Repeat() {
		return unlessOpen(busy)
	}
	return busy
}

// watchers are the clients but this process that have a volume open. One without an image
// id is known by its name.
func (w *Worker) watchers(ctx context.Context, v volume.Ref) ([]string, error) {
	inventory, able := driver.As[driver.Inventory](w.driver)
	if !able {
		return nil, nil
	}
	found, err := inventory.Inspect(ctx, v, true)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(found, func(img volume.Image) bool {
		return img.Ref() == v || v.ImageID == "" && img.Name == v.Name && !img.Trashed
	})
	if at < 0 {
		return nil, nil
	}
	return slices.DeleteFunc(found[at].Watchers, func(addr string) bool { return slices.Contains(w.driver.Addrs(), addr) }), nil
}

// alone sees that nobody but this process has a volume open that nobody was told of yet.
// Whoever has can only be a process before this one, or a qemu-img of one, which has an
// address that no row tells and may be at work still. Those where one of these ran are
// shut out; others are waited for.
func (w *Worker) alone(ctx context.Context, v volume.Ref) error {
	others, err := w.watchers(ctx, v)
	if err != nil || len(others) == 0 {
		return err
	}
	hosts := w.driver.Addrs()
	if w.attempted.Load() { // the process before is known to be dead
		hosts = append(slices.Clone(hosts), w.condemned()...)
	}
	dead := slices.DeleteFunc(slices.Clone(others), func(addr string) bool {
		return !slices.ContainsFunc(hosts, func(other string) bool { return hostOf(other) == hostOf(addr) })
	})
	if fencer, able := driver.As[driver.Fencer](w.driver); able && len(dead) > 0 {
		w.log.Info("fencing what a process before has left in a new volume", "volume", v.Name, "addrs", dead)
		if err := fencer.Fence(crashpoint.With(ctx, "service", "fence"), dead); err != nil {
			return err
		}
		if others, err = w.watchers(ctx, v); err != nil || len(others) == 0 {
			return err
		}
	}
	return unlessOpen(fault.New(fault.Busy, "the new volume is open").WithBlockers(others...))
}

// hostOf returns the address of a Ceph client without its port and nonce.
func hostOf(addr string) string {
	if end := strings.LastIndexByte(addr, ':'); end >= 0 {
		return addr[:end]
	}
	return addr
}

// shakeOff fences the process before once more if it seems to have the volume open still:
// what it sent last may have come to be after it was fenced, and would hold the volume for
// half a minute.
func (w *Worker) shakeOff(ctx context.Context, v volume.Ref) error {
	fencer, able := driver.As[driver.Fencer](w.driver)
	if !able || !w.attempted.Load() { // nobody before is known to be dead
		return nil
	}
	others, err := w.watchers(ctx, v)
	condemned := w.condemned()
	dead := slices.DeleteFunc(others, func(addr string) bool { return !slices.Contains(condemned, addr) })
	if err != nil || len(dead) == 0 {
		return err
	}
	w.log.Info("fencing a connection of the process before once more", "addrs", dead)
	return fencer.Fence(crashpoint.With(ctx, "service", "fence"), dead)
}
