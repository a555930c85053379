package image

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"time"

	"github.com/volumed/volumed/fault"
)

// Node is how qemu opens a disk of the backend: the options of one of its block
// drivers, such as driver, pool and image.
type Node map[string]string

// document is what qemu-img opens, in the form that leaves nothing to be guessed.
type document map[string]any

func (d document) String() string {
	text, _ := json.Marshal(d) // of strings, nil and maps of them
	return "json:" + string(text)
}

// disk is a raw disk of the backend.
func (n Node) disk() document { return document{"driver": string(Raw), "file": n} }

// document is the image, its file inherited as the first beyond stderr. The file is a copy
// without a name: its header says what Probe has read, and that names no other file.
func (w *Whole) document() document {
	d := document{"driver": string(w.Format), "file": map[string]string{"driver": "file", "filename": path(inherited)}}
	if w.Format == QCOW2 || w.Format == VMDK {
		d["backing"] = nil
	}
	return d
}

// inherited is the number of the first file that a child inherits beyond stderr.
const inherited = 3

// CheckTool is Unsupported where there is no qemu-img.
func CheckTool() error {
	_, err := tool()
	return err
}

// Import converts the image onto a disk, which must read as zeros. Zeros are not
// written. A cancelled ctx ends it at once. Kinds: Invalid for an image that qemu-img
// does not convert, Exhausted for one that takes more than it may and for a disk without
// room, Unsupported without qemu-img, Cancelled, Busy for no progress; Internal where the
// disk may be the reason.
func (g *Gate) Import(ctx context.Context, w *Whole, to Node, progress func(percent int)) error {
	if err := g.confirm(ctx, w); err != nil {
		return err
	}
	return g.run(ctx, child{
		args:  []string{"convert", "-p", "-n", "--target-is-zero", "-W", "-O", string(Raw), w.document().String(), to.disk().String()},
		file:  w.file.File,
		cpu:   g.computes(w.Virtual),
		size:  w.Virtual,
		tells: progress,
		kind: func(words string) fault.Kind {
			if strings.Contains(words, "error while reading") { // what the headers do not tell
				return fault.Invalid
			}
			return fault.Internal
		},
	})
}

// computes is how long a child may compute that converts so many bytes.
func (g *Gate) computes(bytes int64) time.Duration { return g.cfg.CPU * time.Duration(2+bytes>>30) }

// Export converts a disk into a qcow2 file, replacing what is in it. Kinds: Exhausted for
// a file system without room; those of Import.
func (g *Gate) Export(ctx context.Context, from Node, size int64, to *os.File, progress func(percent int)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	defer func() { cancel(nil); <-watched }()
	go func() {
		defer close(watched)
		g.keepFree(ctx, to, cancel)
	}()
	return g.run(ctx, child{
		args:  []string{"convert", "-p", "-W", "-O", string(QCOW2), from.disk().String(), path(inherited)},
		file:  to,
		cpu:   g.computes(size),
		size:  size,
		tells: progress,
		kind:  func(string) fault.Kind { return fault.Internal },
	})
}

// keepFree cancels what a child writes, which knows of no reserve, when that is touched.
func (g *Gate) keepFree(ctx context.Context, f *os.File, cancel context.CancelCauseFunc) {
	look := time.NewTicker(lookForRoom)
	defer look.Stop()
	for {
		if err := roomFor(f, 0, g.cfg.Reserve); err != nil {
			cancel(err)
			return
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

// lookForRoom is how often: a reserve of a GiB lasts longer.
const lookForRoom = 200 * time.Millisecond

// facts are what qemu-img tells of an image.
type facts struct {
	Virtual   int64  `json:"virtual-size"`
	Format    Format `json:"format"`
	Backing   string `json:"backing-filename"`
	Encrypted bool   `json:"encrypted"`
	Specific  struct {
		Data struct {
			File string `json:"data-file"`
		} `json:"data"`
	} `json:"format-specific"`
}

// confirm has qemu-img read the header as well: what it understands has to be what the
// parsers of this package have.
func (g *Gate) confirm(ctx context.Context, w *Whole) error {
	var out bounded
	c := child{args: []string{"info", "--output=json", w.document().String()}, file: w.file.File, cpu: g.cfg.CPU, out: &out}
	err := g.run(ctx, c)
	if out.over {
		return damaged("qemu-img says more than %d bytes about it", mostFacts)
	}
	if err != nil {
		return err
	}
	var f facts
	if err := json.Unmarshal(out.text, &f); err != nil {
		return fault.New(fault.Internal, "what qemu-img says of the image cannot be read: %w", err)
	}
	return f.agree(w)
}

// mostFacts is how much is read of what qemu-img tells of an image, in bytes: an image can
// make it tell any amount.
const mostFacts = 1 << 20

// bounded takes so much, and then ends the child by taking no more.
type bounded struct {
	text []byte
	over bool
}

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	if b.over = b.over || len(b.text)+len(p) > mostFacts; b.over {
		return 0, errUnread
	}
	b.text = append(b.text, p...)
	return len(p), nil
}

// agree compares.
func (f facts) agree(w *Whole) error {
	switch {
	case f.Backing != "" || f.Specific.Data.File != "":
		return dependent("it names another file")
	case f.Encrypted:
		return encrypted()
	case f.Format != w.Format || f.Virtual != w.Virtual:
		return damaged("its headers read as %s of %d bytes, and as %s of %d", w.Format, w.Virtual, f.Format, f.Virtual)
	}
	return nil
}
