package statedir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// Dir is a state directory in use by this process alone. It is safe for concurrent
// use.
type Dir struct {
	path string
	lock *os.File
	sys  system

	mu sync.Mutex // one Save at a time
}

// ErrInUse means that another process holds the directory.
var ErrInUse = errors.New("the state directory is in use by another process")

// suffix of a file that is being written. No name may end in it.
const suffix = ".new"

// Open takes the directory at path, making it if need be. The lock goes with the
// process, however that ends.
func Open(path string) (*Dir, error) { return open(path, osSystem{}) }

func open(path string, sys system) (*Dir, error) {
	d := &Dir{path: path, sys: sys}
	if err := d.makeDir(path); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s", ErrInUse, path)
		}
		return nil, fmt.Errorf("state directory: %w", err)
	}
	d.lock = lock
	return d, nil
}

// Path is where the directory is.
func (d *Dir) Path() string { return d.path }

// Close gives the directory back.
func (d *Dir) Close() error { return d.lock.Close() }

// Load reads the record name, of slash separated parts. An absent one is
// fs.ErrNotExist; one that is damaged is ErrCorrupt.
func (d *Dir) Load(k Kind, name string) ([]byte, error) {
	path, err := d.file(name)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	b, err := io.ReadAll(io.LimitReader(f, headerLen+MaxPayload+1))
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	payload, err := decode(k, b)
	if err != nil {
		return nil, fmt.Errorf("state %s: %w", path, err)
	}
	return payload, nil
}

// Save replaces the record name: it is written beside the old one, made durable, put
// in its place by rename, and the directory made durable.
func (d *Dir) Save(k Kind, name string, payload []byte) error {
	path, err := d.file(name)
	if err != nil {
		return err
	}
	b, err := encode(k, payload)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.makeDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	if err := d.sys.write(path+suffix, b); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	if err := d.sys.sync(path + suffix); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	if err := d.sys.rename(path+suffix, path); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	if err := d.sys.sync(filepath.Dir(path)); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	return nil
}

// Sub makes the directory name, durably, and returns its path.
func (d *Dir) Sub(name string) (string, error) {
	path, err := d.file(name)
	if err != nil {
		return "", err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.makeDir(path); err != nil {
		return "", fmt.Errorf("state: %w", err)
	}
	return path, nil
}

// makeDir makes path and what is missing above it, each entry durable in its parent.
func (d *Dir) makeDir(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := d.makeDir(filepath.Dir(path)); err != nil {
		return err
	}
	if err := d.sys.mkdir(path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return d.sys.sync(filepath.Dir(path))
}

// file is the path of the record name.
func (d *Dir) file(name string) (string, error) {
	for part := range strings.SplitSeq(name, "/") {
		if !ValidName(part) {
			return "", fmt.Errorf("state: %q is not a name", name)
		}
	}
	return filepath.Join(d.path, filepath.FromSlash(name)), nil
}

// ValidName reports whether s can be one part of a name: 1 to 64 letters, digits and
// "._-", not beginning with a dot, not ending in the suffix of unfinished files.
func ValidName(s string) bool {
	if s == "" || len(s) > 64 || s[0] == '.' || strings.HasSuffix(s, suffix) {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

// system is what Save does to the file system, in steps at which a test can cut it.
type system interface {
	mkdir(path string) error
	write(path string, b []byte) error // makes or truncates the file
	sync(path string) error            // of a file or directory
	rename(from, to string) error
}

type osSystem struct{}

func (osSystem) mkdir(path string) error { return os.Mkdir(path, 0o700) }

func (osSystem) write(path string, b []byte) error { return os.WriteFile(path, b, 0o600) }

func (osSystem) sync(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (osSystem) rename(from, to string) error { return os.Rename(from, to) }
