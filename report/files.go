package report

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Place is where reports go.
type Place struct {
	Dir     string // empty: to Else
	Program string // begins the names of files
	Keep    int    // how many files of one subject are kept; older ones are removed
	Else    io.Writer
}

// saved counts the reports of this process, so that two in one second have names of
// their own.
var saved atomic.Int64

// Save puts a report into a file of its own, readable by its owner alone, and returns
// its name; or, without a directory, writes it out in one piece. The file is there
// whole or not at all. Where it cannot be written the report goes to Else as well.
func (p Place) Save(r Report) (path string, err error) {
	text := r.String()
	if p.Dir == "" {
		_, err = io.WriteString(p.Else, text)
		return "", err
	}
	path, err = p.write(r, text)
	if err != nil {
		_, outErr := io.WriteString(p.Else, text)
		return "", errors.Join(err, outErr)
	}
	return path, p.removeOld(r.Subject)
}

func (p Place) write(r Report, text string) (path string, err error) {
	name := fmt.Sprintf("%s%s_%d_%d", p.prefix(r.Subject), r.At.Format("20060102150405"), os.Getpid(), saved.Add(1))
	tmp, err := os.CreateTemp(p.Dir, "."+name+"-*") // mode 0600
	if err != nil {
		return "", err
	}
	path = filepath.Join(p.Dir, name)
	_, err = tmp.WriteString(text)
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return "", errors.Join(err, os.Remove(tmp.Name()))
	}
	return path, nil
}

// prefix begins the names of all reports about a subject.
func (p Place) prefix(subject string) string {
	return fmt.Sprintf("%s_%s_gurumeditation_", p.Program, url.PathEscape(subject))
}

// removeOld removes all but the newest reports about a subject.
func (p Place) removeOld(subject string) error {
	entries, err := os.ReadDir(p.Dir)
	if err != nil {
		return err
	}
	type file struct {
		path string
		at   time.Time
	}
	var all []file
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && strings.HasPrefix(e.Name(), p.prefix(subject)) && info.Mode().IsRegular() {
			all = append(all, file{filepath.Join(p.Dir, e.Name()), info.ModTime()})
		}
	}
	slices.SortFunc(all, func(a, b file) int { return b.at.Compare(a.at) })
	for _, f := range all[min(p.Keep, len(all)):] {
		if e := os.Remove(f.path); e != nil && !errors.Is(e, os.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}
