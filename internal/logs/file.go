package logs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// lookEvery is how often, at most, a write looks whether the file is still the one
// of that name.
const lookEvery = time.Second

// file is a log file that others may move away or remove: what is written later
// goes to a new one of the same name.
type file struct {
	path   string
	stderr io.Writer // where lines go that the file does not take

	mu     sync.Mutex
	f      *os.File // nil once closed
	looked time.Time
	lost   error // why the name could not be followed, at the last look
	broken bool  // told on stderr
}

func openFile(path string, stderr io.Writer) (*file, error) {
	w := &file{path: path, stderr: stderr}
	if err := w.open(); err != nil {
		return nil, err
	}
	return w, nil
}

// open replaces what is open, if the new one can be opened.
func (w *file) open() error {
	f, err := os.OpenFile(w.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	if w.f != nil {
		_ = w.f.Close() // nothing is buffered in it
	}
	w.f, w.looked = f, time.Now()
	return nil
}

// Write writes one line, to stderr if the file does not take it: a log that is
// lost says nothing about that.
func (w *file) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := 0, w.look()
	if err == nil {
		n, err = w.f.Write(line)
	}
	w.complain(err)
	if err != nil {
		return w.stderr.Write(line[n:])
	}
	return n, nil
}

// look follows the name to a new file, if that is due. It returns why there is none
// to write to.
func (w *file) look() error {
	if w.f == nil {
		return os.ErrClosed
	}
	if time.Since(w.looked) < lookEvery {
		return w.lost
	}
	if w.looked = time.Now(); w.lost != nil || w.moved() {
		w.lost = w.open()
	}
	return w.lost
}

// moved reports whether the name stands for another file now, or for none.
func (w *file) moved() bool {
	named, err := os.Stat(w.path)
	if err != nil {
		return errors.Is(err, os.ErrNotExist)
	}
	open, err := w.f.Stat()
	return err == nil && !os.SameFile(named, open)
}

// complain tells on stderr when the file begins to fail, once until it is well again.
func (w *file) complain(err error) {
	if err != nil && !w.broken && w.f != nil {
		fmt.Fprintf(w.stderr, "volumed: log_file cannot be written, its lines come here: %v\n", err)
	}
	w.broken = err != nil
}

func (w *file) reopen() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.f != nil {
		w.looked, w.lost = time.Now(), w.open()
	}
}

func (w *file) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.f != nil {
		_ = w.f.Close() // nothing is buffered in it
		w.f = nil
	}
}
