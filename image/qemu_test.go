package image

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/volumed/volumed/fault"
)

// converted returns the data as an image of the format, made by qemu-img.
func converted(t testing.TB, data []byte, format Format, options ...string) string {
	t.Helper()
	dir := t.TempDir()
	raw, file := filepath.Join(dir, "raw"), filepath.Join(dir, "image")
	if err := os.WriteFile(raw, data, 0o600); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"convert", "-f", "raw", "-O", string(format)}, options...)
	if out, err := exec.Command("qemu-img", append(args, raw, file)...).CombinedOutput(); err != nil {
		t.Fatalf("qemu-img: %v, %s (apt-get install qemu-utils qemu-block-extra)", err, out)
	}
	return file
}

// plainFile is a node for a file of zeros that reads like a disk.
func plainFile(t testing.TB, size int64) (Node, string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "disk")
	f, err := os.Create(name)
	if err == nil {
		err = errors.Join(f.Truncate(size), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return Node{"driver": "file", "filename": name}, name
}

func TestImportOfEveryFormat(t *testing.T) {
	data := append(make([]byte, 8<<20), content(8<<20)...)
	for _, format := range []Format{QCOW2, VMDK, VHDX, VPC, VDI} {
		t.Run(string(format), func(t *testing.T) {
			var options []string
			if format == VPC {
				options = []string{"-o", "force_size=on"}
			}
			file := converted(t, data, format, options...)
			for name, url := range map[string]string{
				"file": "file://" + file,
				"http": serve(t, func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) }),
			} {
				g := newGate(t, func(c *Config) { c.Directories = []string{filepath.Dir(file)} })
				stream, err := g.Open(t.Context(), Source{URL: url}, gib)
				wantKind(t, "", err)
				defer stream.Close()
				whole, err := stream.Whole(gib, nil)
				wantKind(t, "", err)
				defer whole.Close()
				if stream.Format != format || whole.Virtual != int64(len(data)) {
					t.Errorf("%s: %s of %d bytes", name, stream.Format, whole.Virtual)
				}
				node, disk := plainFile(t, 64<<20)
				percent := 0
				wantKind(t, "", g.Import(t.Context(), whole, node, func(p int) { percent = p }))
				got, err := os.ReadFile(disk)
				if err != nil || !bytes.Equal(got[:len(data)], data) {
					t.Errorf("%s: the disk holds something else, %v", name, err)
				}
				if percent != 100 {
					t.Errorf("%s: the last progress was %d %%", name, percent)
				}
			}
		})
	}
}

// What claims more than the volume has is refused before anything is written; so is what
// only qemu-img would find out about.
func TestImportRefuses(t *testing.T) {
	small := converted(t, content(2<<20), QCOW2)
	g := newGate(t, func(c *Config) { c.Directories = []string{filepath.Dir(small)} })
	open := func(disk int64) (*Whole, error) {
		stream, err := g.Open(t.Context(), Source{URL: "file://" + small}, disk)
		wantKind(t, "", err)
		t.Cleanup(func() { _ = stream.Close() })
		return stream.Whole(disk, nil)
	}
	_, err := open(1 << 20)
	wantKind(t, fault.Invalid, err)

	whole, err := open(gib)
	wantKind(t, "", err)
	defer whole.Close()
	whole.Virtual++ // the parsers disagree
	node, disk := plainFile(t, 64<<20)
	wantKind(t, fault.Invalid, g.Import(t.Context(), whole, node, nil))
	got, err := os.ReadFile(disk)
	if err != nil || bytes.Count(got, []byte{0}) != len(got) {
		t.Error("something was written")
	}
}

// qemuWrapper has every qemu-img preceded by a script, whose first argument is its verb.
func qemuWrapper(t testing.TB, script string) {
	t.Helper()
	real, err := exec.LookPath("qemu-img")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	text := "#!/bin/sh\n" + script + "\nexec " + real + " \"$@\"\n"
	if err := os.WriteFile(filepath.Join(dir, "qemu-img"), []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

// Whoever may write an image changes it after it was found to be good.
func TestImportOfWhatChanges(t *testing.T) {
	data, secret := content(2<<20), bytes.Repeat([]byte("secret"), 1<<18)
	file, evil := converted(t, data, QCOW2), filepath.Join(t.TempDir(), "evil")
	if err := os.WriteFile(evil+".data", secret, 0o600); err != nil {
		t.Fatal(err)
	}
	options := "data_file=" + evil + ".data,data_file_raw=on"
	if out, err := exec.Command("qemu-img", "create", "-f", "qcow2", "-o", options, evil, "2M").CombinedOutput(); err != nil {
		t.Fatalf("%v, %s", err, out)
	}
	if err := os.WriteFile(evil+".data", secret, 0o600); err != nil { // which create has emptied
		t.Fatal(err)
	}
	qemuWrapper(t, "if [ $1 = convert ]; then cat "+evil+" >"+file+"; fi")
	g := newGate(t, func(c *Config) { c.Directories = []string{filepath.Dir(file)} })
	stream, err := g.Open(t.Context(), Source{URL: "file://" + file}, gib)
	wantKind(t, "", err)
	defer stream.Close()
	whole, err := stream.Whole(gib, nil)
	wantKind(t, "", err)
	defer whole.Close()
	node, disk := plainFile(t, 4<<20)
	wantKind(t, "", g.Import(t.Context(), whole, node, nil))
	got, err := os.ReadFile(disk)
	if err != nil || !bytes.Equal(got[:len(data)], data) {
		t.Errorf("the disk holds something else (a secret: %v), %v", bytes.HasPrefix(got, secret[:600]), err)
	}
}

// An image may have qemu-img tell any amount of it.
func TestImportOfWhatIsToldForEver(t *testing.T) {
	file := converted(t, content(2<<20), QCOW2)
	qemuWrapper(t, "if [ $1 = info ]; then exec cat /dev/zero; fi")
	g := newGate(t, func(c *Config) { c.Directories = []string{filepath.Dir(file)} })
	stream, err := g.Open(t.Context(), Source{URL: "file://" + file}, gib)
	wantKind(t, "", err)
	defer stream.Close()
	whole, err := stream.Whole(gib, nil)
	wantKind(t, "", err)
	defer whole.Close()
	node, _ := plainFile(t, 4<<20)
	wantKind(t, fault.Invalid, g.Import(t.Context(), whole, node, nil))
}

// Once the headers are known to be good the disk may be why an image cannot be converted.
func TestImportThatFails(t *testing.T) {
	file := converted(t, content(2<<20), QCOW2)
	for words, kind := range map[string]fault.Kind{
		"error while writing at byte 0: Disk quota exceeded":                           fault.Exhausted,
		"error while writing at byte 0: No space left on device":                       fault.Exhausted,
		"error while writing at byte 0: Cannot send after transport endpoint shutdown": fault.Internal,
		"error while reading at byte 0: Input/output error":                            fault.Invalid,
	} {
		t.Run(words, func(t *testing.T) {
			qemuWrapper(t, "if [ $1 = convert ]; then echo 'qemu-img: "+words+"' >&2; exit 1; fi")
			g := newGate(t, func(c *Config) { c.Directories = []string{filepath.Dir(file)} })
			stream, err := g.Open(t.Context(), Source{URL: "file://" + file}, gib)
			wantKind(t, "", err)
			defer stream.Close()
			whole, err := stream.Whole(gib, nil)
			wantKind(t, "", err)
			defer whole.Close()
			node, _ := plainFile(t, 4<<20)
			wantKind(t, kind, g.Import(t.Context(), whole, node, nil))
		})
	}
}

// A percent of a large disk takes longer than one of a small one.
func TestPatienceWithChildren(t *testing.T) {
	for size, want := range map[int64]time.Duration{0: 10 * time.Minute, 1 << 30: 10*time.Minute + time.Second, 6 << 40: 10*time.Minute + 7864*time.Second} {
		if got := (child{size: size}).patience(); got != want {
			t.Errorf("%d bytes: %s, want %s", size, got, want)
		}
	}
}

// A child that takes more than it may is ended, and so is one that nobody wants any more.
func TestChildrenAreBounded(t *testing.T) {
	file := converted(t, content(4<<20), QCOW2, "-c")
	whole := func(g *Gate) *Whole {
		stream, err := g.Open(t.Context(), Source{URL: "file://" + file}, gib)
		wantKind(t, "", err)
		t.Cleanup(func() { _ = stream.Close() })
		w, err := stream.Whole(gib, nil)
		wantKind(t, "", err)
		t.Cleanup(func() { _ = w.Close() })
		return w
	}
	g := newGate(t, func(c *Config) { c.Directories, c.Memory = []string{filepath.Dir(file)}, 16<<20 })
	node, _ := plainFile(t, 64<<20)
	err := g.Import(t.Context(), whole(g), node, nil)
	if kind := fault.KindOf(err); kind != fault.Exhausted && kind != fault.Invalid {
		t.Errorf("with 16 MiB: %v", err)
	}
	t.Log("with 16 MiB:", err)

	g = newGate(t, func(c *Config) { c.Directories = []string{filepath.Dir(file)} })
	ctx, cancel := context.WithCancelCause(t.Context())
	why := fault.New(fault.Cancelled, "nobody wants it")
	cancel(why)
	if err := g.Import(ctx, whole(g), node, nil); !errors.Is(err, why) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestSpoolWithoutRoom(t *testing.T) {
	file := converted(t, content(2<<20), QCOW2)
	url := serve(t, func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) })
	g := newGate(t, func(c *Config) { c.Reserve = 1 << 60 })
	stream, err := g.Open(t.Context(), Source{URL: url}, gib)
	wantKind(t, "", err)
	defer stream.Close()
	_, err = stream.Whole(gib, nil)
	wantKind(t, fault.Exhausted, err)
}

// The workers of several backends spool on the same file system, and each has a gate.
func TestSpoolsSideBySide(t *testing.T) {
	dir := t.TempDir()
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		t.Fatal(err)
	}
	size := int64(1 << 30)
	reserve := int64(fs.Bavail)*fs.Bsize - size - size/2
	one, other := &spool{dir: dir, reserve: reserve}, &spool{dir: dir, reserve: reserve}
	f, err := one.create(size)
	wantKind(t, "", err)
	_, err = other.create(size)
	wantKind(t, fault.Exhausted, err)
	wantKind(t, "", f.Close())
	f, err = other.create(size)
	wantKind(t, "", err)
	wantKind(t, "", f.Close())
}

// What is written to a file leaves the reserve free as well, whoever writes it.
func TestDeliverWithoutRoom(t *testing.T) {
	dir := t.TempDir()
	g := newGate(t, func(c *Config) { c.Directories, c.Reserve = []string{dir}, 1<<60 })
	d, err := g.Deliver(Target{URL: "file://" + dir + "/out", Key: "op", Time: time.Now()}, 1<<20, false)
	wantKind(t, "", err)
	defer d.Close()
	wantKind(t, fault.Exhausted, d.Raw(t.Context(), 1<<20, produce(content(1<<20))))
	node, _ := plainFile(t, 1<<20)
	wantKind(t, fault.Exhausted, g.Export(t.Context(), node, 1<<20, d.File, nil))
}

func TestSpoolLeavesNothing(t *testing.T) {
	file := converted(t, content(2<<20), QCOW2)
	url := serve(t, func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) })
	g := newGate(t, nil)
	stream, err := g.Open(t.Context(), Source{URL: url}, gib)
	wantKind(t, "", err)
	defer stream.Close()
	whole, err := stream.Whole(gib, nil)
	wantKind(t, "", err)
	if names, err := os.ReadDir(g.cfg.Spool); err != nil || len(names) != 0 {
		t.Errorf("the spool shows %v, %v", names, err)
	}
	wantKind(t, "", whole.Close())
	if g.spool.promised != 0 {
		t.Errorf("%d bytes are still promised", g.spool.promised)
	}
}

// produce gives what is not zero of the data.
func produce(data []byte) func(context.Context, func(int64, []byte) error) error {
	return func(_ context.Context, each func(int64, []byte) error) error {
		for at := 0; at < len(data); at += 4096 {
			piece := data[at:min(at+4096, len(data))]
			if bytes.Count(piece, []byte{0}) == len(piece) {
				continue
			}
			if err := each(int64(at), piece); err != nil {
				return err
			}
		}
		return nil
	}
}

func TestDeliverToFile(t *testing.T) {
	dir := t.TempDir()
	g := newGate(t, func(c *Config) { c.Directories = []string{dir} })
	data := append(append(make([]byte, 1<<20), content(1<<20)...), make([]byte, 1<<20)...)
	to := Target{URL: "file://" + dir + "/out", Key: "op1", Time: time.Now()}
	again := func(to Target) (done bool, err error) {
		d, err := g.Deliver(to, int64(len(data)), false)
		if err != nil {
			return false, err
		}
		defer d.Close()
		if d.Done {
			return true, d.Discard()
		}
		return false, d.Raw(t.Context(), int64(len(data)), produce(data))
	}
	done, err := again(to)
	wantKind(t, "", err)
	got, err := os.ReadFile(dir + "/out")
	if done || err != nil || !bytes.Equal(got, data) {
		t.Fatalf("the file has %d bytes, %v", len(got), err)
	}
	if done, err = again(to); err != nil || !done { // a process that died after it
		t.Errorf("repeated: %v, %v", done, err)
	}
	other := to
	other.Key, other.Time = "op2", to.Time.Add(time.Second)
	_, err = again(other)
	wantKind(t, fault.Exists, err)
	wantKind(t, "", g.Withdraw(other))
	if _, err := os.Stat(dir + "/out"); err != nil {
		t.Error("another delivery's file is gone")
	}
	for range 2 {
		wantKind(t, "", g.Withdraw(to))
	}
	if names, _ := os.ReadDir(dir); len(names) != 0 {
		t.Errorf("left: %v", names)
	}
}

// A process that hung goes on after another has taken the delivery up: neither writes into
// the file of the other, or brings it to its place.
func TestDeliverTwice(t *testing.T) {
	dir := t.TempDir()
	g := newGate(t, func(c *Config) { c.Directories = []string{dir} })
	to := Target{URL: "file://" + dir + "/out", Key: "op1", Time: time.Now()}
	hung, err := g.Deliver(to, 1<<20, true)
	wantKind(t, "", err)
	defer hung.Close()
	next, err := g.Deliver(to, 1<<20, true)
	wantKind(t, "", err)
	defer next.Close()
	for f, text := range map[*os.File]string{hung.File: "from the dead", next.File: "good"} {
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	wantKind(t, fault.Busy, hung.Finish(t.Context()))
	wantKind(t, "", next.Finish(t.Context()))
	if got, err := os.ReadFile(dir + "/out"); string(got) != "good" {
		t.Errorf("it holds %q, %v", got, err)
	}
}

func TestDeliverThatFailsLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	g := newGate(t, func(c *Config) { c.Directories = []string{dir} })
	to := Target{URL: "file://" + dir + "/out", Key: "op1", Time: time.Now()}
	d, err := g.Deliver(to, gib, false)
	wantKind(t, "", err)
	why := fault.New(fault.Busy, "no more")
	wantKind(t, fault.Busy, d.Raw(t.Context(), gib, func(context.Context, func(int64, []byte) error) error { return why }))
	wantKind(t, "", d.Close())
	wantKind(t, "", g.Withdraw(to))
	if names, _ := os.ReadDir(dir); len(names) != 0 {
		t.Errorf("left: %v", names)
	}
}

// What never could be delivered is refused, and leaves nothing that could not be taken back.
func TestDeliverWithoutPlace(t *testing.T) {
	dir := t.TempDir()
	g := newGate(t, func(c *Config) { c.Directories = []string{dir} })
	for name, url := range map[string]string{"outside": "/etc/x", "long": dir + "/" + strings.Repeat("x", 250), "directory": dir} {
		to := Target{URL: "file://" + url, Key: "op", Time: time.Now()}
		if err := g.CheckTarget(to); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: checked: %v", name, err)
		}
		if _, err := g.Deliver(to, gib, false); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: delivered: %v", name, err)
		}
		if err := g.Withdraw(to); err != nil {
			t.Errorf("%s: withdrawn: %v", name, err)
		}
	}
	to := Target{URL: "file://" + dir + "/absent/x", Key: "op", Time: time.Now()} // a directory may come yet
	wantKind(t, "", g.CheckTarget(to))
	wantKind(t, "", g.Withdraw(to))
}

func TestDeliverToServer(t *testing.T) {
	data := append(make([]byte, 1<<20), content(1<<20)...)
	var got []byte
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			got, _ = io.ReadAll(r.Body)
		}
		w.WriteHeader(http.StatusCreated)
	})
	g := newGate(t, nil)
	send := func(url string, produce func(context.Context, func(int64, []byte) error) error) error {
		d, err := g.Deliver(Target{URL: url, Key: "op"}, int64(len(data)), false)
		wantKind(t, "", err)
		defer d.Close()
		return d.Raw(t.Context(), int64(len(data)), produce)
	}
	wantKind(t, "", send(url, produce(data)))
	if !bytes.Equal(got, data) {
		t.Errorf("the server got %d bytes", len(got))
	}
	why := fault.New(fault.NotFound, "the snapshot is gone")
	err := send(url, func(context.Context, func(int64, []byte) error) error { return why })
	if !errors.Is(err, why) {
		t.Errorf("a producer that fails: %v", err)
	}
	refusing := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	wantKind(t, fault.Invalid, send(refusing, produce(data)))

	g.cfg.Idle = 50 * time.Millisecond
	stalling := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})
	wantKind(t, fault.Busy, send(stalling, produce(data)))
	got, g.cfg.Idle = nil, 500*time.Millisecond
	wantKind(t, "", send(url, func(ctx context.Context, each func(int64, []byte) error) error {
		<-time.After(2 * g.cfg.Idle) // the cluster hangs, the server does not
		return produce(data)(ctx, each)
	}))
	if !bytes.Equal(got, data) {
		t.Errorf("the server got %d bytes from a slow producer", len(got))
	}
	if err := send("http://169.254.169.254/x", produce(data)); fault.KindOf(err) != fault.Invalid || strings.Contains(err.Error(), "secret") {
		t.Errorf("to a metadata service: %v", err)
	}
}
