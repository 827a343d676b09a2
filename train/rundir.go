package train

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/pkg/errors"
)

// The files of a run directory.
const (
	ConfigFile     = "config.json"            // how it was trained, and what input and output mean
	MetricsFile    = "metrics.jsonl"          // a line for each epoch that was saved
	MetricsCSV     = "metrics.csv"            // the same as a table
	LogFile        = "log.txt"                // what happened when; a resumed run goes on in it
	BestFile       = "best.safetensors"       // the network as it was after its best epoch
	WeightsFile    = "weights.safetensors"    // the network, as PyTorch reads it
	CheckpointFile = "checkpoint.safetensors" // all that Resume needs
)

// NewDir makes a directory in parent that no other run has: of that name, or with -2, -3 and so on
// appended. It makes parent too where that is missing, and removes the temporary files of runs in
// parent that were killed while they saved.
func NewDir(parent, name string) (string, error) {
	if err := dangling(parent); err != nil {
		return "", err
	}
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", errors.Wrap(err, "train: the run directory")
	}
	sweepAll(parent)
	dir := filepath.Join(parent, name)
	for i := 2; ; i++ {
		err := os.Mkdir(dir, 0o755)
		if err == nil || !errors.Is(err, fs.ErrExist) {
			return dir, errors.Wrap(err, "train: the run directory")
		}
		dir = filepath.Join(parent, fmt.Sprintf("%s-%d", name, i))
	}
}

// CheckDir returns an error if a run in dir would overwrite something: dir must not exist, be an
// empty directory, or hold what a run left that was killed before it had saved anything. A link
// that leads nowhere is an error too.
func CheckDir(dir string) error {
	if err := dangling(dir); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return errors.Wrap(err, "train: the run directory")
	}
	if len(entries) > 0 && !stillborn(dir, entries) {
		return errors.Errorf("train: the run directory %s holds %s, want a new or an empty one: nothing is overwritten", dir, entries[0].Name())
	}
	return nil
}

// stillborn reports whether a directory holds what a run left that was killed before it had saved
// anything.
func stillborn(dir string, entries []fs.DirEntry) bool {
	begun := false
	for _, e := range entries {
		switch name := e.Name(); {
		case name == ConfigFile:
		case name == MetricsFile:
			begun = true
			if info, err := e.Info(); err != nil || info.Size() > 0 {
				return false
			}
		case name != MetricsCSV && name != LogFile && !isTemporary(name):
			return false
		}
	}
	if s, err := readSaved(dir); err != nil || len(s.Input) == 0 {
		return false // not ours
	}
	return begun
}

// dangling returns an error that names a link on the way to path that leads nowhere. The system's
// own error for making a directory there is that it exists.
func dangling(path string) error {
	for at := filepath.Clean(path); ; at = filepath.Dir(at) {
		info, err := os.Lstat(at)
		if err == nil && info.Mode()&fs.ModeSymlink != 0 {
			if _, err := os.Stat(at); errors.Is(err, fs.ErrNotExist) {
				to, _ := os.Readlink(at)
				return errors.Errorf("train: the run directory: %s is a link to %s, which does not exist", at, to)
			}
		}
		if err == nil || at == filepath.Dir(at) {
			return nil
		}
	}
}

// A runDir is the directory of a run under way. A nil runDir is that of a run that is not kept:
// its methods do nothing. Files are reached through the open directory and not through its path,
// so that they stay in one place whatever becomes of the path.
type runDir struct {
	path   string // as the caller has it, for errors
	abs    string // the same wherever the process goes
	root   *os.Root
	info   fs.FileInfo // of the directory
	config *os.File    // open, and locked while the run lasts
	log    *os.File    // nil if it cannot be written, which harms nothing
	made   bool        // the directory is this run's own work
	kept   bool        // something was saved
	steps  int         // made when that was
}

// createDir makes a run's directory and writes config.json. With an empty path it returns nil. With
// force it deletes the run that is there.
func createDir(path string, config any, force bool) (d *runDir, err error) {
	if path == "" {
		return nil, nil
	}
	if err := clearDir(path, force); err != nil {
		return nil, err
	}
	if err := CheckDir(path); err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return nil, errors.Wrap(err, "train: the configuration")
	}
	_, err = os.Stat(path)
	d = &runDir{path: path, made: errors.Is(err, fs.ErrNotExist)}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, errors.Wrap(err, "train: the run directory")
	}
	if err := d.open(); err != nil {
		return nil, err
	}
	// O_EXCL decides between two runs that found the directory empty at the same time.
	if d.config, err = d.root.OpenFile(ConfigFile, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644); err != nil {
		d.root.Close()
		return nil, errors.Wrap(err, "train: the configuration")
	}
	if err = d.lock(); err == nil {
		_, err = d.config.Write(append(text, '\n'))
	}
	if err == nil {
		err = d.config.Sync()
	}
	if err == nil {
		err = d.write(MetricsFile, func(io.Writer) error { return nil })
	}
	d.openLog()
	if err != nil {
		d.abandon()
		return nil, errors.Wrap(err, "train: the configuration")
	}
	return d, nil
}

// clearDir removes the files of a run from a directory: with force those of any run that no process
// is training, otherwise those of one that was killed before it had saved anything.
func clearDir(path string, force bool) error {
	entries, err := os.ReadDir(path)
	if err != nil || len(entries) == 0 || !force && !stillborn(path, entries) {
		return nil // CheckDir says more
	}
	if _, err := readSaved(path); err != nil {
		return errors.Wrapf(err, "train: %s holds no run: nothing is deleted", path)
	}
	for _, e := range entries {
		if name := e.Name(); !isOwn(name) && !isTemporary(name) {
			return errors.Errorf("train: %s holds %s, which is no file of a run: nothing is deleted", path, name)
		}
	}
	d, err := reopenDir(path)
	if err != nil {
		return err
	}
	defer d.close()
	for _, e := range entries {
		if name := e.Name(); isOwn(name) && name != ConfigFile {
			if err := d.root.Remove(name); err != nil {
				return errors.Wrap(err, "train: the run directory")
			}
		}
	}
	// What is left after a failure is a run still, as long as this is there.
	return errors.Wrap(d.root.Remove(ConfigFile), "train: the run directory")
}

// isOwn reports whether a file is one that runs write.
func isOwn(name string) bool {
	switch name {
	case ConfigFile, MetricsFile, MetricsCSV, LogFile, WeightsFile, BestFile, CheckpointFile, "report.html":
		return true
	}
	kept, _ := filepath.Match("checkpoint-*.safetensors", name)
	return kept
}

// openLog opens log.txt, to be gone on with.
func (d *runDir) openLog() {
	if f, err := d.root.OpenFile(LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644); err == nil {
		d.log = f
	}
}

// note writes a line to log.txt.
func (d *runDir) note(what string, args ...any) {
	if d != nil && d.log != nil {
		slog.New(slog.NewTextHandler(d.log, nil)).Info(what, args...)
	}
}

// reopenDir opens the directory of a run that goes on, and removes what a killed process left in
// it.
func reopenDir(path string) (*runDir, error) {
	d := &runDir{path: path, kept: true}
	if err := d.open(); err != nil {
		return nil, err
	}
	var err error
	if d.config, err = d.root.OpenFile(ConfigFile, os.O_RDWR, 0); err != nil {
		d.root.Close()
		return nil, errors.Wrapf(err, "train: the run %s", path)
	}
	if err := d.lock(); err != nil {
		d.close()
		return nil, err
	}
	d.sweep()
	return d, nil
}

func (d *runDir) open() error {
	var err error
	if d.abs, err = filepath.Abs(d.path); err != nil {
		return errors.Wrap(err, "train: the run directory")
	}
	if d.root, err = os.OpenRoot(d.abs); err != nil {
		return errors.Wrap(err, "train: the run directory")
	}
	if d.info, err = d.root.Stat("."); err != nil {
		d.root.Close()
		return errors.Wrap(err, "train: the run directory")
	}
	return nil
}

// lock keeps other processes from training in the directory, and from taking this run for dead.
func (d *runDir) lock() error {
	if !lockFile(d.config) {
		return errors.Errorf("train: another process trains in %s", d.path)
	}
	return nil
}

// temporary is the name under which a file is written before it gets its own.
func temporary(name string) string { return "." + name + ".tmp" }

// isTemporary reports whether a file is one that a save, or the writing of a report, had under way.
func isTemporary(name string) bool {
	return strings.HasPrefix(name, ".") &&
		(strings.Contains(name, ".safetensors.") || strings.HasPrefix(name, ".report.html.") || strings.HasSuffix(name, ".tmp"))
}

// sweep removes the temporary files of saves that did not end. The caller holds the lock.
func (d *runDir) sweep() {
	entries, err := fs.ReadDir(d.root.FS(), ".")
	if err != nil {
		return // what cannot be listed cannot be cleaned; the run goes on
	}
	for _, e := range entries {
		if isTemporary(e.Name()) {
			_ = d.root.Remove(e.Name())
		}
	}
}

// sweepAll sweeps every run of a directory that no process is training in.
func sweepAll(parent string) {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return
	}
	for _, e := range entries {
		path := filepath.Join(parent, e.Name())
		left, err := filepath.Glob(filepath.Join(path, ".*"))
		if err != nil || len(left) == 0 || !e.IsDir() {
			continue
		}
		if d, err := reopenDir(path); err == nil { // which sweeps
			d.close()
		}
	}
}

// write replaces a file by what f writes. The file appears whole or not at all: it is written
// beside its place, synced, and renamed.
func (d *runDir) write(name string, f func(io.Writer) error) (err error) {
	if d == nil {
		return nil
	}
	temp := temporary(name)
	_ = d.root.Remove(temp)
	file, err := d.root.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return errors.Wrapf(err, "train: saving in %s", d.path)
	}
	defer func() {
		if err != nil {
			file.Close()
			_ = d.root.Remove(temp)
		}
	}()
	if err = f(file); err != nil {
		return err
	}
	if err = file.Sync(); err == nil {
		err = file.Close()
	}
	if err == nil {
		err = d.root.Rename(temp, name)
	}
	if err != nil {
		return errors.Wrapf(err, "train: saving in %s", d.path)
	}
	// The rename lasts once the directory is synced too. Not every system can do that; the file
	// itself is safe.
	if dir, err := d.root.Open("."); err == nil {
		_ = dir.Sync()
		_ = dir.Close()
	}
	return nil
}

// check returns an error if the path no longer leads to what this run writes.
func (d *runDir) check() error {
	if d == nil {
		return nil
	}
	now, err := os.Stat(d.abs)
	if err != nil || !os.SameFile(now, d.info) {
		return errors.Errorf("train: the run directory %s was removed or replaced during the run: what was saved is not there", d.path)
	}
	was, err := d.config.Stat()
	if err == nil {
		now, err = os.Stat(filepath.Join(d.abs, ConfigFile))
	}
	if err != nil || !os.SameFile(now, was) {
		return errors.Errorf("train: %s was removed or replaced during the run: the run cannot be opened", filepath.Join(d.path, ConfigFile))
	}
	return nil
}

// metrics writes the lines of all epochs anew.
func (d *runDir) metrics(epochs []Epoch) error {
	if err := d.write(MetricsCSV, func(w io.Writer) error { return table(w, epochs) }); err != nil {
		return err
	}
	return d.write(MetricsFile, func(w io.Writer) error {
		enc := json.NewEncoder(w)
		for _, e := range epochs {
			if err := enc.Encode(e); err != nil {
				return errors.Wrap(err, "train: the metrics")
			}
		}
		return nil
	})
}

// table writes the epochs as comma-separated values, under the names of metrics.jsonl.
func table(w io.Writer, epochs []Epoch) error {
	c := csv.NewWriter(w)
	of := reflect.TypeFor[Epoch]()
	row := make([]string, of.NumField())
	for k := range row {
		row[k] = of.Field(k).Tag.Get("json")
	}
	_ = c.Write(row) // errors stay until Error
	for _, e := range epochs {
		for k := range row {
			row[k] = fmt.Sprint(reflect.ValueOf(e).Field(k))
		}
		_ = c.Write(row)
	}
	c.Flush()
	return errors.Wrap(c.Error(), "train: the metrics")
}

// close gives the lock up.
func (d *runDir) close() {
	if d == nil {
		return
	}
	if d.log != nil {
		d.log.Close()
	}
	d.config.Close()
	d.root.Close()
}

// abandon removes a run that saved nothing: its files, and the directory if it is the run's own
// work.
func (d *runDir) abandon() {
	if d == nil || d.kept {
		return
	}
	d.sweep()
	for _, name := range []string{MetricsFile, MetricsCSV, LogFile, ConfigFile} {
		_ = d.root.Remove(name)
	}
	if d.made {
		if now, err := os.Stat(d.abs); err == nil && os.SameFile(now, d.info) {
			_ = os.Remove(d.abs) // which leaves a directory that holds something
		}
	}
	d.close()
}
