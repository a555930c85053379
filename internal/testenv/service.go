package testenv

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// service is a script of scripts/ that starts something, prints one line once it is ready, and stops it when its
// stdin ends.
type service struct {
	cmd   *exec.Cmd
	stdin io.Closer
	line  string
}

var services struct {
	sync.Mutex
	running []*service
}

// startService runs scripts/<name> hold DIR args… in a fresh DIR and returns the line that it printed.
func startService(name string, args ...string) (string, error) {
	root, err := repoRoot()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "volumed-"+name+".")
	if err != nil {
		return "", err
	}
	cmd := exec.Command(filepath.Join(root, "scripts", name), append([]string{"hold", dir}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	s, err := launch(cmd)
	if err != nil {
		os.RemoveAll(dir)
		return "", fmt.Errorf("scripts/%s: %w\n%s", name, err, stderr.Bytes())
	}
	services.Lock()
	services.running = append(services.running, s)
	services.Unlock()
	return s.line, nil
}

func launch(cmd *exec.Cmd) (*service, error) {
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		stdin.Close()
		return nil, errors.Join(err, cmd.Wait())
	}
	return &service{cmd: cmd, stdin: stdin, line: line[:len(line)-1]}, nil
}

// stopServices returns when all that startService started has stopped.
func stopServices() {
	services.Lock()
	defer services.Unlock()
	for _, s := range services.running {
		s.stdin.Close()
	}
	for _, s := range services.running {
		if err := s.cmd.Wait(); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", s.cmd.Path, err)
		}
	}
	services.running = nil
}

// repoRoot is the directory of go.mod, above the package under test.
var repoRoot = sync.OnceValues(func() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "go.mod")); err == nil {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("no go.mod above %s", dir)
		}
	}
})
