package e2e

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/testenv"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// imaging is a service that may read and write images in a directory.
type imaging struct {
	*service
	dir string
}

// newImaging returns one that is ready. lines are more of [DEFAULT].
func newImaging(t *testing.T, lines string) *imaging {
	t.Helper()
	dir := t.TempDir()
	o := options{defaults: fmt.Sprintf("image_file_allow = %s\nimage_url_allow = 127.0.0.1\nimage_idle_timeout = 1\n%s", dir, lines)}
	return &imaging{started(t, o), dir}
}

// raw makes a raw image of 96 MiB with data at both ends and a hole between.
func (s *imaging) raw(name string) (path string) {
	s.t.Helper()
	path = filepath.Join(s.dir, name)
	data := make([]byte, 8<<20)
	_, _ = rand.Read(data)
	f, err := os.Create(path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	_, first := f.WriteAt(data[:4<<20], 4096)
	_, last := f.WriteAt(data[4<<20:], 92<<20-512)
	if err := errors.Join(first, last, f.Truncate(96<<20)); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// as converts an image into another format.
func (s *imaging) as(path, format string, options ...string) string {
	s.t.Helper()
	to := path + "." + format
	args := append([]string{"convert", "-f", "raw", "-O", format}, options...)
	if out, err := exec.Command("qemu-img", append(args, path, to)...).CombinedOutput(); err != nil {
		s.t.Fatalf("qemu-img: %v, %s (apt-get install qemu-utils qemu-block-extra)", err, out)
	}
	return to
}

// holds wants a volume to hold the raw image, and zeros behind it.
func (s *imaging) holds(id, path string) {
	s.t.Helper()
	disk := fmt.Sprintf("json:{\"driver\":\"raw\",\"file\":{\"driver\":\"rbd\",\"pool\":%q,\"image\":%q,\"conf\":%q,\"user\":%q}}",
		s.pools[0], "volume-"+id, s.ceph.Conf, s.ceph.User)
	s.alike(path, disk, "raw")
}

// alike wants two images to hold the same, but for zeros at the end.
func (s *imaging) alike(path, other, format string) {
	s.t.Helper()
	if out, err := exec.Command("qemu-img", "compare", "-f", "raw", "-F", format, path, other).CombinedOutput(); err != nil {
		s.t.Errorf("%s: %v, %s", other, err, out)
	}
}

// used is how many objects hold data of the volume.
func (s *imaging) used(id string) int {
	s.t.Helper()
	var du struct {
		Images []struct {
			UsedSize int64 `json:"used_size"`
		}
	}
	s.rbdJSON(&du, "du", s.pools[0]+"/volume-"+id)
	return int(du.Images[0].UsedSize >> 22)
}

// TestImagesInAndOut goes the whole way, in every form, by volumectl.
func TestImagesInAndOut(t *testing.T) {
	t.Parallel()
	s := newImaging(t, "")
	raw := s.raw("disk")
	web := httptest.NewServer(http.FileServer(http.Dir(s.dir)))
	t.Cleanup(web.Close)
	data, err := os.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	checksum := fmt.Sprintf("sha256:%x", sha256.Sum256(data))
	for name, args := range map[string][]string{
		"file_raw":   {"--image", "file://" + raw, "--image-checksum", checksum},
		"http_raw":   {"--image", web.URL + "/disk", "--image-format", "raw", "--image-checksum", checksum},
		"file_qcow2": {"--image", "file://" + s.as(raw, "qcow2")},
		"http_qcow2": {"--image", web.URL + "/disk.qcow2", "--image-format", "qcow2"},
		"http_vmdk":  {"--image", web.URL + "/" + filepath.Base(s.as(raw, "vmdk"))},
		"file_vhdx":  {"--image", "file://" + s.as(raw, "vhdx")},
		"file_vpc":   {"--image", "file://" + s.as(raw, "vpc", "-o", "force_size=on")},
	} {
		s.command(0, "available", append([]string{"volume", "create", "--backend", "rbd0", "--size", "1", "--name", name}, args...)...)
		reply, err := s.client.ListVolumes(t.Context(), rpc.ListVolumesRequest{Name: name})
		if err != nil || len(reply.Volumes) != 1 {
			t.Fatalf("%s: %v", name, err)
		}
		v := reply.Volumes[0]
		s.holds(v.ID, raw)
		if n := s.used(v.ID); n > 5 { // 3 with data; qemu-img writes what it does not know to be zero
			t.Errorf("%s: %d objects are used", name, n)
		}
		if !v.Bootable || v.ImageMetadata[volume.ImageVirtual] != "100663296" || v.ImageMetadata[volume.ImageURL] != args[1] {
			t.Errorf("%s: bootable %v, %v", name, v.Bootable, v.ImageMetadata)
		}
	}
	s.imagesOut(raw)
	s.quiet()
	s.audit()
	s.command(0, "", "audit", "--backend", "rbd0", "--deep")
}

// imagesOut writes a volume into every kind of image, and one of them into a volume.
func (s *imaging) imagesOut(raw string) {
	s.t.Helper()
	sent := make(chan string, 1) // where the last one is that the server took
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, err := os.CreateTemp(s.dir, "sent")
		if err == nil {
			_, err = f.ReadFrom(r.Body)
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		sent <- f.Name()
	}))
	s.t.Cleanup(web.Close)
	for format, verb := range map[string][]string{"raw": {"volume", "upload"}, "qcow2": {"image", "save"}} {
		file := filepath.Join(s.dir, "out."+format)
		s.command(0, "available", append(verb, "file_raw", "--to", "file://"+file, "--format", format)...)
		s.alike(raw, file, format)
		s.command(1, "there is a file already", append(verb, "file_raw", "--to", "file://"+file, "--format", format)...)
		s.command(0, "available", append(verb, "file_raw", "--to", web.URL+"/x", "--format", format)...)
		s.alike(raw, <-sent, format)
	}
	if info, err := os.Stat(filepath.Join(s.dir, "out.raw")); err != nil || info.Sys().(*syscall.Stat_t).Blocks > 20<<20/512 {
		s.t.Errorf("the raw file has no holes: %+v, %v", info, err)
	}
	other := s.as(s.raw("other"), "qcow2")
	s.command(0, "available", "volume", "reimage", "http_raw", "--image", "file://"+other)
	reply, err := s.client.ListVolumes(s.t.Context(), rpc.ListVolumesRequest{Name: "http_raw"})
	if err != nil {
		s.t.Fatal(err)
	}
	s.holds(reply.Volumes[0].ID, filepath.Join(s.dir, "other"))
	s.command(0, "available", "volume", "reimage", "http_raw", "--image", "file://"+filepath.Join(s.dir, "disk"))
	s.holds(reply.Volumes[0].ID, raw)
	s.quiet() // the snapshots are removed after the answer
	for _, name := range []string{"file_raw", "http_raw"} {
		reply, err := s.client.ListVolumes(s.t.Context(), rpc.ListVolumesRequest{Name: name})
		if err != nil || len(s.snapshots(reply.Volumes[0].ID)) != 0 {
			s.t.Errorf("%s: snapshots are left, %v", name, err)
		}
	}
	if parts, _ := filepath.Glob(filepath.Join(s.dir, ".*")); len(parts) > 0 {
		s.t.Errorf("left beside the images: %v", parts)
	}
}

// TestBadImages: typed errors, and nothing left behind, whatever an image says or a server
// does.
func TestBadImages(t *testing.T) {
	t.Parallel()
	s := newImaging(t, "")
	raw := s.raw("disk")
	qcow2 := s.as(raw, "qcow2")
	changed := func(name string, offset int64, bytes string) string {
		data, err := os.ReadFile(qcow2)
		if err != nil {
			t.Fatal(err)
		}
		copy(data[offset:], bytes)
		if err := os.WriteFile(filepath.Join(s.dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
		return "file://" + filepath.Join(s.dir, name)
	}
	large := filepath.Join(s.dir, "large")
	if out, err := exec.Command("qemu-img", "create", "-q", "-f", "qcow2", large, "2G").CombinedOutput(); err != nil {
		t.Fatalf("%v, %s", err, out)
	}
	backed := filepath.Join(s.dir, "backed")
	if out, err := exec.Command("qemu-img", "create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b", "/etc/passwd", backed, "64M").CombinedOutput(); err != nil {
		t.Fatalf("%v, %s", err, out)
	}
	if err := os.Truncate(changed("cut", 0, "")[len("file://"):], 1000); err != nil {
		t.Fatal(err)
	}
	stalls := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"one"`)
		w.Header().Set("Content-Length", "50000000")
		_, _ = w.Write(make([]byte, 10<<20))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	t.Cleanup(stalls.Close)
	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for piece := make([]byte, 1<<20); r.Context().Err() == nil; {
			_, _ = w.Write(piece)
		}
	}))
	t.Cleanup(endless.Close)
	for name, tt := range map[string]struct {
		image rpc.ImageSource
		kind  fault.Kind
	}{
		"bomb":        {rpc.ImageSource{URL: changed("bomb", 24, "\x10\x00\x00\x00\x00\x00\x00\x00")}, fault.Invalid},
		"large":       {rpc.ImageSource{URL: "file://" + large}, fault.Invalid},
		"backing":     {rpc.ImageSource{URL: "file://" + backed}, fault.Invalid},
		"cut":         {rpc.ImageSource{URL: "file://" + filepath.Join(s.dir, "cut")}, fault.Invalid},
		"not_raw":     {rpc.ImageSource{URL: "file://" + qcow2, Format: "raw"}, fault.Invalid},
		"not_qcow2":   {rpc.ImageSource{URL: "file://" + raw, Format: "qcow2"}, fault.Invalid},
		"checksum":    {rpc.ImageSource{URL: "file://" + raw, Checksum: "sha256:" + strings.Repeat("0", 64)}, fault.Invalid},
		"outside":     {rpc.ImageSource{URL: "file:///etc/passwd"}, fault.Invalid},
		"absent":      {rpc.ImageSource{URL: "file://" + s.dir + "/nothing"}, fault.NotFound},
		"metadata":    {rpc.ImageSource{URL: "http://169.254.169.254/latest"}, fault.Invalid},
		"private":     {rpc.ImageSource{URL: "http://10.255.255.1/image"}, fault.Invalid},
		"localhost6":  {rpc.ImageSource{URL: "http://[::1]:1/image"}, fault.Invalid},
		"stalls":      {rpc.ImageSource{URL: stalls.URL}, fault.Busy},
		"endless":     {rpc.ImageSource{URL: endless.URL}, fault.Invalid},
		"rbd_foreign": {rpc.ImageSource{URL: "rbd://cluster/pool/image/snap"}, fault.Invalid},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.client.CreateVolume(t.Context(), s.backend(0), rpc.CreateVolumeRequest{Size: 1, Image: &tt.image}, wait)
			if fault.KindOf(err) != tt.kind {
				t.Errorf("kind = %s, want %s: %v", fault.KindOf(err), tt.kind, err)
			}
		})
	}
	s.quiet()
	if images, trash := s.images(0), s.trash(0); len(images)+len(trash) > 0 {
		t.Errorf("left: %v, in the trash %v", images, trash)
	}
	// What is wrong with an image is found before the volume is touched.
	v := s.createVolume(rpc.CreateVolumeRequest{Size: 1, Image: &rpc.ImageSource{URL: "file://" + raw}})
	_, err := s.client.Reimage(t.Context(), s.backend(0), rpc.ReimageRequest{VolumeID: v.ID, Image: rpc.ImageSource{URL: "file://" + backed}}, wait)
	if fault.KindOf(err) != fault.Invalid {
		t.Errorf("reimage: %v", err)
	}
	if got := s.shown(v.ID); got.Status != volume.Available {
		t.Errorf("after it the volume is %s", got.Status)
	}
	s.holds(v.ID, raw)
	// So is a wrong checksum, of what would be written as it comes.
	wrong := rpc.ImageSource{URL: "file://" + s.raw("other"), Checksum: "sha256:" + strings.Repeat("0", 64)}
	_, err = s.client.Reimage(t.Context(), s.backend(0), rpc.ReimageRequest{VolumeID: v.ID, Image: wrong}, wait)
	if got := s.shown(v.ID); fault.KindOf(err) != fault.Invalid || got.Status != volume.Available {
		t.Errorf("after %v the volume is %s", err, got.Status)
	}
	s.holds(v.ID, raw)
}

// TestImageOfTheSameCluster clones an image that somebody keeps in another pool.
func TestImageOfTheSameCluster(t *testing.T) {
	t.Parallel()
	ceph := testenv.Ceph(t)
	images := ceph.NewPool(t)
	s := newService(t, options{})
	s.configure("rbd_user = ", "image_rbd_allow = "+images+"\nrbd_user = ")
	s.start()
	s.ready()
	im := &imaging{s, t.TempDir()}
	raw := im.raw("disk")
	ceph.RBD(t, "import", "--no-progress", raw, images+"/debian 12")
	ceph.RBD(t, "snap", "create", "--no-progress", images+"/debian 12@snap")
	fsid := strings.TrimSpace(ceph.Ceph(t, "fsid"))
	url := "rbd://" + fsid + "/" + images + "/debian%2012/snap"
	v := s.createVolume(rpc.CreateVolumeRequest{Size: 1, Image: &rpc.ImageSource{URL: url}})
	im.holds(v.ID, raw)
	if !v.Bootable || v.ImageMetadata[volume.ImageURL] != url {
		t.Errorf("it is not told where it comes from: %+v", v)
	}
	if n := im.used(v.ID); n != 0 {
		t.Errorf("%d objects were copied", n)
	}
	for url, kind := range map[string]fault.Kind{
		"rbd://" + fsid + "/" + images + "/absent/snap":                  fault.NotFound,
		"rbd://" + fsid + "/" + images + "/debian%2012/absent":           fault.NotFound,
		"rbd://" + fsid + "/" + images + "/debian%2012":                  fault.Invalid,
		"rbd://" + fsid + "/" + s.pools[0] + "/volume-" + v.ID + "/snap": fault.Invalid,
		"rbd://" + fsid + "/.mgr/x/snap":                                 fault.Invalid,
		"rbd://other/" + images + "/debian%2012/snap":                    fault.Invalid,
		"rbd://" + fsid + "/" + images + "/debian%2012%00x/snap":         fault.Invalid,
	} {
		_, err := s.client.CreateVolume(t.Context(), s.backend(0), rpc.CreateVolumeRequest{Size: 1, Image: &rpc.ImageSource{URL: url}}, wait)
		if fault.KindOf(err) != kind {
			t.Errorf("%s: %v", url, err)
		}
	}
	s.quiet()
	s.command(0, "", "audit", "--backend", "rbd0")
	s.deleteVolume(v.ID)
	s.quiet()
	ceph.RBD(t, "snap", "rm", "--no-progress", images+"/debian 12@snap")
}

// TestImageOfTheSameClusterApart: where volumes depend on nothing, the clone is flattened.
func TestImageOfTheSameClusterApart(t *testing.T) {
	t.Parallel()
	ceph := testenv.Ceph(t)
	images := ceph.NewPool(t)
	s := newService(t, options{})
	s.configure("rbd_user = ", "image_rbd_allow = "+images+"\nrbd_max_clone_depth = 0\nrbd_user = ")
	s.start()
	s.ready()
	im := &imaging{s, t.TempDir()}
	raw := im.raw("disk")
	ceph.RBD(t, "import", "--no-progress", raw, images+"/debian")
	ceph.RBD(t, "snap", "create", "--no-progress", images+"/debian@snap")
	url := "rbd://" + strings.TrimSpace(ceph.Ceph(t, "fsid")) + "/" + images + "/debian/snap"
	v := s.createVolume(rpc.CreateVolumeRequest{Size: 1, Image: &rpc.ImageSource{URL: url}})
	ceph.RBD(t, "snap", "purge", "--no-progress", images+"/debian") // nothing depends on it
	im.holds(v.ID, raw)
}

// TestKilledWhileQEMUWrites: the child dies with the worker, and its successor, which has to
// wait until the cluster has forgotten that child, makes the volume right.
func TestKilledWhileQEMUWrites(t *testing.T) {
	t.Parallel()
	s := newImaging(t, "")
	raw := filepath.Join(s.dir, "large")
	if err := exec.Command("sh", "-c", "head -c 600M /dev/urandom >"+raw).Run(); err != nil {
		t.Fatal(err)
	}
	image := rpc.ImageSource{URL: "file://" + s.as(raw, "qcow2")}
	reply, err := s.client.CreateVolume(t.Context(), s.backend(0), rpc.CreateVolumeRequest{Size: 1, Image: &image}, rpc.CallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	child := func() bool { return len(qemus(s.pools[0])) > 0 }
	s.eventually("qemu-img has begun to write", func() error {
		if v := s.shown(reply.Volume.ID); v.Status != volume.Downloading || !child() {
			return fmt.Errorf("the volume is %s", v.Status)
		}
		return nil
	})
	if err := syscall.Kill(s.worker(0), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	end, err := s.client.WaitOperation(t.Context(), s.backend(0), rpc.OperationRequest{OperationID: reply.Operation.ID}, rpc.CallOptions{Wait: 2 * time.Minute})
	if err != nil || end.Operation.Status != volume.Succeeded || end.Operation.Attempt < 2 {
		t.Fatalf("%+v, %v", end.Operation, err)
	}
	s.holds(reply.Volume.ID, raw)
	if child() {
		t.Error("a qemu-img is left")
	}

	// A cancel ends the child at once, and leaves nothing.
	reply, err = s.client.CreateVolume(t.Context(), s.backend(0), rpc.CreateVolumeRequest{Size: 1, Image: &image}, rpc.CallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.eventually("qemu-img runs again", func() error {
		if !child() {
			return errors.New("it does not")
		}
		return nil
	})
	if _, err := s.client.CancelOperation(t.Context(), s.backend(0), rpc.OperationRequest{OperationID: reply.Operation.ID}, rpc.CallOptions{}); err != nil {
		t.Fatal(err)
	}
	s.eventually("qemu-img has ended", func() error {
		if child() {
			return errors.New("it has not")
		}
		return nil
	})
	s.quiet()
	if images := s.images(0); len(images) != 1 {
		t.Errorf("left: %v", images)
	}
}

// TestHungWhileQEMUWrites: a worker hangs, but its child does not. Another machine takes over,
// and nothing that the child still writes comes into the volume that it hands out.
func TestHungWhileQEMUWrites(t *testing.T) {
	t.Parallel()
	testenv.Volumectl(t) // the child does not wait until it is built
	dir := t.TempDir()
	o := options{
		defaults: "image_file_allow = " + dir + "\nreport_interval = 1\nservice_down_time = 4",
		nats:     testenv.NATS(t), database: testenv.Postgres(t), pools: []string{testenv.Ceph(t).NewPool(t)},
	}
	slow := newService(t, o)
	slow.env = []string{"PATH=" + slowly(t) + ":" + os.Getenv("PATH")}
	slow.start()
	slow.ready()
	s := &imaging{newService(t, o), dir}
	s.start()
	s.ready()
	raw, other := s.raw("disk"), s.raw("other")
	image := rpc.ImageSource{URL: "file://" + s.as(raw, "qcow2")}
	reply, err := s.client.CreateVolume(t.Context(), s.backend(0), rpc.CreateVolumeRequest{Size: 1, Image: &image}, rpc.CallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var child string
	s.eventually("qemu-img has begun to write", func() error {
		if found := qemus(s.pools[0]); len(found) == 1 && s.shown(reply.Volume.ID).Status == volume.Downloading {
			child = found[0]
			return nil
		}
		return errors.New("it has not")
	})
	for _, pid := range []int{slow.cmd.Process.Pid, slow.worker(0)} {
		signal(t, pid, syscall.SIGSTOP)
		t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	}
	end, err := s.client.WaitOperation(t.Context(), s.backend(0), rpc.OperationRequest{OperationID: reply.Operation.ID}, rpc.CallOptions{Wait: 2 * time.Minute})
	if err != nil || end.Operation.Status != volume.Succeeded || end.Operation.Attempt < 2 {
		t.Fatalf("%+v, %v", end.Operation, err)
	}
	s.holds(reply.Volume.ID, raw)
	s.command(0, "available", "volume", "reimage", reply.Volume.ID, "--image", "file://"+other)
	s.eventually("the child has ended", func() error {
		if stat, err := os.ReadFile("/proc/" + child + "/stat"); err == nil && !strings.Contains(string(stat), ") Z ") {
			return fmt.Errorf("%s", stat)
		}
		return nil
	})
	s.holds(reply.Volume.ID, other)
}

// slowly returns a directory with a qemu-img that converts 256 KiB in a second.
func slowly(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	script := "#!/bin/sh\nif [ $1 = convert ]; then shift; set -- convert -r 256K \"$@\"; fi\nexec /usr/bin/qemu-img \"$@\"\n"
	if err := os.WriteFile(filepath.Join(dir, "qemu-img"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// qemus are the processes of qemu-img that read or write the pool.
func qemus(pool string) (pids []string) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err == nil && strings.HasPrefix(string(line), "/usr/bin/qemu-img\x00convert") && strings.Contains(string(line), pool) {
			pids = append(pids, filepath.Base(filepath.Dir(file)))
		}
	}
	return pids
}
