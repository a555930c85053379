package config

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/volumed/volumed/fault"
)

// Where the files are when none is named. Both may be missing.
const (
	DefaultFile = "/etc/volumed/volumed.conf"
	DefaultDir  = "/etc/volumed/volumed.conf.d"
)

// Sources are everything a load depends on, as it was at one moment: the bytes
// of the files in order of precedence, the OS_<GROUP>__<OPTION> variables, and
// what the machine says about itself. Processes that parse the same Sources get
// the same Config, whatever happened to the files meanwhile. The zero value is
// no configuration at all.
type Sources struct {
	files    []file
	environ  map[string]string
	hostname string
	address  string
}

type file struct {
	path string
	data []byte
}

// Read takes a snapshot of the named files, then of the *.conf files of the
// named directories sorted by name; later ones win. When neither is named it
// reads DefaultFile and DefaultDir as far as they exist. A named file or
// directory that cannot be read is an error that names it: NotFound when it is
// missing, Invalid otherwise. environ is in the form of os.Environ.
func Read(files, dirs []string, environ []string) (Sources, error) {
	named := len(files)+len(dirs) > 0
	if !named {
		files, dirs = []string{DefaultFile}, []string{DefaultDir}
	}
	src := Sources{environ: overrides(environ), hostname: hostname(), address: localAddress()}
	paths := slices.Clone(files)
	for _, dir := range dirs {
		found, err := confFiles(dir)
		if err != nil && (named || !errors.Is(err, fs.ErrNotExist)) {
			return Sources{}, readError("configuration directory", dir, err)
		}
		paths = append(paths, found...)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		switch {
		case err == nil:
			src.files = append(src.files, file{path, data})
		case named || !errors.Is(err, fs.ErrNotExist):
			return Sources{}, readError("configuration file", path, err)
		}
	}
	return src, nil
}

func confFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, e := range entries {
		if !e.IsDir() && filepath.Ext(e.Name()) == ".conf" {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths, nil
}

func readError(what, path string, err error) error {
	kind := fault.Invalid
	if errors.Is(err, fs.ErrNotExist) {
		kind = fault.NotFound
	}
	var cause *fs.PathError
	if errors.As(err, &cause) {
		err = cause.Err
	}
	return fault.New(kind, "read %s %s: %w", what, path, err)
}

// overrides keeps the variables that can override an option. No other part of
// the environment is needed, and a snapshot should not carry it around.
func overrides(environ []string) map[string]string {
	kept := map[string]string{}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, "OS_") && strings.Contains(name, "__") {
			kept[name] = value
		}
	}
	return kept
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "localhost"
	}
	return name
}

// localAddress is the address of the interface with the default route. Setting
// a peer on a UDP socket asks the kernel for the route and sends nothing.
func localAddress() string {
	const anywhere = "192.0.2.1:9" // reserved for documentation
	conn, err := net.Dial("udp4", anywhere)
	if err != nil {
		return "127.0.0.1"
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).IP.String()
}

// wireSources is the encoded form of Sources.
type wireSources struct {
	Files    []wireFile        `json:"files"`
	Environ  map[string]string `json:"environ"`
	Hostname string            `json:"hostname"`
	Address  string            `json:"address"`
}

type wireFile struct {
	Path string `json:"path"`
	Data []byte `json:"data"`
}

// Encode returns s as bytes for DecodeSources. They hold the secrets of the
// files: hand them to a process, never write them to a disk.
func (s Sources) Encode() []byte {
	w := wireSources{Environ: s.environ, Hostname: s.hostname, Address: s.address}
	for _, f := range s.files {
		w.Files = append(w.Files, wireFile{f.path, f.data})
	}
	data, err := json.Marshal(w)
	if err != nil {
		panic(err) // strings and bytes always encode
	}
	return data
}

// DecodeSources is the reverse of Encode. Bytes that Encode did not make are
// an error of kind Invalid that quotes none of them.
func DecodeSources(data []byte) (Sources, error) {
	var w wireSources
	if err := json.Unmarshal(data, &w); err != nil {
		return Sources{}, fault.New(fault.Invalid, "decode configuration snapshot: not a snapshot of %d bytes", len(data))
	}
	s := Sources{environ: w.Environ, hostname: w.Hostname, address: w.Address}
	for _, f := range w.Files {
		s.files = append(s.files, file{f.Path, f.Data})
	}
	return s, nil
}
