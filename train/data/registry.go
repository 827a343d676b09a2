package data

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"github.com/pkg/errors"

	"github.com/convgrad/convgrad/ops"
)

// A Source is a dataset that is found by its name: some samples to train on, and others to test
// with.
type Source struct {
	Name  string // as a flag names it
	About string // half a sentence for a list of sources
	Files string // what Options.Dir must hold; "" for a source that takes no directory
	// Open returns the two sets as they are, not normalised. They have one shape and the same
	// classes.
	Open  func(Options) (training, test Set, err error)
	Fetch []Remote // the files, where they can be got; Options.Dir may then be "" for CacheDir
}

// Options are what sources are opened with.
type Options struct {
	Dir         string // where the files are
	Train, Test int    // how many samples to draw, for sources that draw; 0 for the usual number
	Seed        uint64 // of sources that draw, or split

	// Of sources of pictures of any size: see FolderOptions.
	Size     ops.Size
	Usual    ops.Size
	Channels int
	Fit      string
	Held     float64
	Skipped  func(path string, err error)
}

var registry struct {
	sync.Mutex
	sources []Source
}

// Register adds a source, usually from the file that defines it:
//
//	var _ = data.Register(data.Source{Name: "stars", About: "…", Open: openStars})
//
// It returns an error if the source has no name or no Open, or there is one of that name; that
// error is also what opening the name gives.
func Register(s Source) error {
	registry.Lock()
	defer registry.Unlock()
	if s.Name == "" || s.Open == nil {
		return errors.Errorf("data: Register: the source %q has no name or no Open", s.Name)
	}
	for i, r := range registry.sources {
		if r.Name == s.Name {
			err := errors.Errorf("data: Register: there are two sources named %q", s.Name)
			registry.sources[i].Open = func(Options) (Set, Set, error) { return nil, nil, err }
			return err
		}
	}
	registry.sources = append(registry.sources, s)
	slices.SortFunc(registry.sources, func(a, b Source) int { return cmp.Compare(a.Name, b.Name) })
	return nil
}

// Sources lists what is registered, by name.
func Sources() []Source {
	registry.Lock()
	defer registry.Unlock()
	return slices.Clone(registry.sources)
}

// Find returns the source of that name.
//
// It returns an error that lists the names if there is none.
func Find(name string) (Source, error) {
	var names []string
	for _, s := range Sources() {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return Source{}, errors.Errorf("data: the dataset is %q, want one of %s", name, strings.Join(names, ", "))
}

// CheckOptions returns an error if a directory is missing, or given to a source that takes none.
func (s Source) CheckOptions(o Options) error {
	if o.Dir == "" && len(s.Fetch) > 0 {
		if s.Fetched() {
			return nil
		}
		return errors.Errorf("data: %s: there is no directory, want one with %s; train data %s -fetch gets them", s.Name, s.Files, s.Name)
	}
	if s.Files != "" && o.Dir == "" {
		return errors.Errorf("data: %s: there is no directory, want one with %s", s.Name, s.Files)
	}
	if s.Files == "" && o.Dir != "" {
		return errors.Errorf("data: %s: the directory is %q, want none: it reads no files", s.Name, o.Dir)
	}
	return nil
}

// Sets opens the source's sets as they are, from its cache directory if o names none.
//
// It returns an error if the options do not fit the source, or it cannot be read.
func (s Source) Sets(o Options) (training, test Set, err error) {
	if err := s.CheckOptions(o); err != nil {
		return nil, nil, err
	}
	if o.Dir == "" && len(s.Fetch) > 0 {
		if o.Dir, err = CacheDir(s.Name); err != nil {
			return nil, nil, err
		}
	}
	return s.Open(o)
}

// Open opens the source of that name and normalises both sets by the training set's channels.
//
// It returns an error if there is no such source, the options do not fit it, it cannot be read, or
// its sets do not fit each other.
func Open(name string, o Options) (training, test Set, err error) {
	s, err := Find(name)
	if err != nil {
		return nil, nil, err
	}
	if training, test, err = s.Sets(o); err != nil {
		return nil, nil, err
	}
	if err := CheckPair(training, test); err != nil {
		return nil, nil, errors.Wrapf(err, "data: %s", name)
	}
	if training, err = Normalise(training, nil); err != nil {
		return nil, nil, errors.Wrapf(err, "data: %s", name)
	}
	test, err = Normalise(test, NormalisationOf(training))
	return training, test, errors.Wrapf(err, "data: %s", name)
}

// CheckPair returns an error unless both sets hold together and have one shape and the same
// classes.
func CheckPair(training, test Dataset) error {
	if err := Check(training); err != nil {
		return errors.Wrap(err, "the training set")
	}
	if err := Check(test); err != nil {
		return errors.Wrap(err, "the test set")
	}
	if a, b := training.Shape(), test.Shape(); !a.Eq(b) {
		return errors.Errorf("data: test samples are %v, want %v like those to train on", b, a)
	}
	if a, b := training.Classes(), test.Classes(); !slices.Equal(a, b) {
		return errors.Errorf("data: the test set has %s, want those of the training set, %s", names(b), names(a))
	}
	return nil
}

// names describes classes briefly, however many there are.
func names(classes []string) string {
	const few = 5
	if len(classes) <= few {
		return "the classes [" + strings.Join(classes, " ") + "]"
	}
	return errors.Errorf("%d classes, [%s …]", len(classes), strings.Join(classes[:few], " ")).Error()
}
