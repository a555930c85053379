package report

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
)

// Package returns the source of what this process is made of. More fields, such as
// versions of protocols, follow the version.
func Package(product, version string, more ...Field) Source {
	return Source{"Package", func(context.Context) (Section, error) {
		var s Section
		s.Add("product", product)
		s.Add("version", version)
		s.Fields = append(s.Fields, more...)
		s.Add("go", runtime.Version())
		info, _ := debug.ReadBuildInfo()
		if info != nil {
			for _, set := range info.Settings {
				if slices.Contains([]string{"vcs.revision", "vcs.time", "vcs.modified", "-tags", "-race", "CGO_ENABLED"}, set.Key) {
					s.Add(set.Key, set.Value)
				}
			}
		}
		s.Add("executable", executable())
		s.Add("libraries", libraries())
		return s, nil
	}}
}

// executable is the path of the running file; the kernel marks one that was replaced
// meanwhile as deleted.
func executable() string {
	path, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return ""
	}
	return path
}

// libraries are the files of the C libraries that matter, whose names have their
// versions.
func libraries() []string {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return nil
	}
	var found []string
	for line := range strings.Lines(string(maps)) {
		_, path, named := strings.Cut(line, "/")
		name := filepath.Base(strings.TrimSpace(path))
		known := strings.HasPrefix(name, "librbd.") || strings.HasPrefix(name, "librados.") ||
			strings.HasPrefix(name, "libjemalloc.") || strings.HasPrefix(name, "libc.so")
		if named && known && !slices.Contains(found, name) {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found
}
