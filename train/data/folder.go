package data

import (
	"cmp"
	"fmt"
	"image/color"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/pkg/errors"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
)

var _ = Register(Source{
	Name: "folder", About: "pictures in a folder for each class",
	Files: "a folder of pictures for each class, or two such directories, train and val (or test)",
	Open: func(o Options) (Set, Set, error) {
		return Folder(o.Dir, FolderOptions{
			Size: o.Size, Usual: o.Usual, Channels: o.Channels, Fit: o.Fit, Held: o.Held, Seed: o.Seed, Skipped: o.Skipped,
		})
	},
})

// FolderOptions say how Folder reads pictures. The zero value refuses what it cannot read.
type FolderOptions struct {
	Size ops.Size // of every sample; {0, 0} stands for that of the pictures, if all have one
	// where Size is {0, 0}: of samples of pictures that differ in size, or are large
	Usual    ops.Size
	Channels int     // 1 for grey, 3 for colour; 0 for 1 if all pictures are grey, and 3 otherwise
	Fit      string  // how a picture gets that size: one of Fits; "" for the first
	Held     float64 // share that is held back to test with, where there is no split; 0 for 0.2
	Seed     uint64  // of that split
	// Skipped is told of files that are no pictures or damaged, and of classes without pictures, or
	// with one where some are to be held back; they are then left out. If it is nil, they are
	// errors.
	Skipped func(path string, err error)
}

// heldInMemory is how many bytes of samples a Folder keeps. What is beyond it is decoded at each
// Read.
const heldInMemory = 1 << 30

// Folder reads a directory with a folder of pictures for each class: PNG, JPEG, GIF, WebP or BMP.
// The classes are the folders' names, sorted. Where the directory holds train and val (or test)
// instead, with such folders in each, they are the two sets; otherwise some pictures of each class
// are held back, as the seed decides. Files whose name begins with a dot are left out.
//
// A picture is turned as its EXIF data says, and brought to the sample's size, by averaging or
// linearly; one of that size is not touched. What is transparent is white. Every file is read once
// before Folder returns, and up to 2³⁰ bytes of samples are kept.
//
// It returns an error that names the file if one is no picture, damaged, or of more than 2²⁶
// pixels, and an error if there are fewer than two classes, one without pictures, or sizes that
// differ where neither Size nor Usual says one.
func Folder(dir string, o FolderOptions) (training, test Set, err error) {
	switch {
	case o.Size != ops.Size{} && (o.Size.H < 1 || o.Size.W < 1):
		return nil, nil, errors.Errorf("data: Folder: the size is %d×%d, want positive sides", o.Size.H, o.Size.W)
	case o.Usual != ops.Size{} && (o.Usual.H < 1 || o.Usual.W < 1):
		return nil, nil, errors.Errorf("data: Folder: the usual size is %d×%d, want positive sides", o.Usual.H, o.Usual.W)
	case o.Channels != 0 && o.Channels != 1 && o.Channels != 3:
		return nil, nil, errors.Errorf("data: Folder: %d channels, want 1 or 3", o.Channels)
	case o.Fit != "" && !slices.Contains(Fits(), o.Fit):
		return nil, nil, errors.Errorf("data: Folder: the fit is %q, want one of %s", o.Fit, strings.Join(Fits(), ", "))
	case !(o.Held >= 0 && o.Held < 1):
		return nil, nil, errors.Errorf("data: Folder: %v is held back, want at least 0 and below 1", o.Held)
	}
	var splits []string
	if isDir(filepath.Join(dir, "train")) {
		for _, name := range []string{"val", "test"} {
			if sub := filepath.Join(dir, name); isDir(sub) && len(splits) == 0 {
				splits = []string{filepath.Join(dir, "train"), sub}
			}
		}
	}
	r := &folderReader{FolderOptions: o}
	r.room.Store(heldInMemory)
	if len(splits) == 0 {
		whole, err := r.list(dir, 2)
		if err != nil {
			return nil, nil, err
		}
		if err := r.settle(whole); err != nil {
			return nil, nil, err
		}
		return r.sets(r.split(whole))
	}
	var lists [2][]*picture
	for i, sub := range splits {
		if lists[i], err = r.list(sub, 1); err != nil {
			return nil, nil, err
		}
	}
	if err := r.settle(slices.Concat(lists[0], lists[1])); err != nil {
		return nil, nil, err
	}
	return r.sets(lists[0], lists[1])
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// A picture is a file that can be decoded.
type picture struct {
	path  string
	class int
	size  ops.Size
	grey  bool
	kept  []uint8 // the sample in colour, or nil
}

// A folderReader reads the two sets of a directory.
type folderReader struct {
	FolderOptions
	classes []string // nil until the first list
	bad     []string // the first few files that cannot be read
	badN    int
	room    atomic.Int64 // bytes of samples that may yet be kept
}

// refuse notes a file that cannot be read.
func (r *folderReader) refuse(path string, err error) {
	if r.Skipped != nil {
		r.Skipped(path, err)
		return
	}
	if r.badN++; len(r.bad) < 3 {
		r.bad = append(r.bad, path+": "+err.Error())
	}
}

// refused is the error of all files that were refused.
func (r *folderReader) refused() error {
	if r.badN == 0 {
		return nil
	}
	s := strings.Join(r.bad, "; ")
	if more := r.badN - len(r.bad); more > 0 {
		s += fmt.Sprintf("; and %d more", more)
	}
	return &RefusedError{s}
}

// A RefusedError is Folder's for files that are no pictures, or damaged, and classes without any: a
// Skipped would leave them out.
type RefusedError struct{ files string }

// Error names the first of them.
func (e *RefusedError) Error() string { return "data: Folder: " + e.files }

// list decodes every picture below dir once, of classes of at least so many. The first call decides
// on the classes.
func (r *folderReader) list(dir string, least int) ([]*picture, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, errors.Wrap(err, "data: Folder")
	}
	var all []*picture
	var classes []string
	for _, e := range entries {
		sub := filepath.Join(dir, e.Name())
		if strings.HasPrefix(e.Name(), ".") || !isDir(sub) {
			continue
		}
		class := slices.Index(r.classes, e.Name())
		switch {
		case r.classes == nil:
			class = len(classes)
		case class < 0:
			return nil, errors.Errorf("data: Folder: %s is no class of those to train on, %s", sub, names(r.classes))
		}
		pictures, err := r.pictures(sub, class)
		if err != nil {
			return nil, err
		}
		if len(pictures) == 0 {
			r.refuse(sub, errors.New("the class has no pictures"))
			continue
		}
		if len(pictures) < least {
			r.refuse(sub, errors.New("the class has one picture, want at least two: one to test with"))
			continue
		}
		classes = append(classes, e.Name())
		all = append(all, pictures...)
	}
	if err := r.refused(); err != nil {
		return nil, err
	}
	if r.classes == nil {
		if len(classes) < 2 {
			return nil, errors.Errorf("data: Folder: %s holds %d folders with pictures, want one for each of at least two classes", dir, len(classes))
		}
		r.classes = classes
	}
	if len(all) == 0 {
		return nil, errors.Errorf("data: Folder: %s holds no pictures", dir)
	}
	return all, nil
}

// pictures decodes the files of a class, several at a time.
func (r *folderReader) pictures(dir string, class int) (all []*picture, err error) {
	var paths []string
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		return nil, errors.Wrap(err, "data: Folder")
	}
	found, failed := make([]*picture, len(paths)), make([]error, len(paths))
	together(len(paths), func(i int) {
		failed[i] = decode(paths[i], func(d decoded) { found[i] = r.look(paths[i], class, d) })
	})
	for i, p := range found {
		if p == nil {
			r.refuse(paths[i], failed[i])
			continue
		}
		all = append(all, p)
	}
	return all, nil
}

// together calls f of 0 to n−1, several at a time.
func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n; i += workers {
				f(i)
			}
		})
	}
	wg.Wait()
}

// look notes what a picture is, and keeps its sample if there is room.
func (r *folderReader) look(path string, class int, d decoded) *picture {
	model := d.ColorModel()
	p := &picture{path: path, class: class, size: d.size(), grey: model == color.GrayModel || model == color.Gray16Model}
	size := r.Size
	if size == (ops.Size{}) {
		size = p.size // settle decides otherwise if not all have one size
	}
	p.kept = r.keep(d, size)
	return p
}

// keep is a picture's sample, or nil if there is no room for it.
func (r *folderReader) keep(d decoded, size ops.Size) []uint8 {
	shape := tensor.Shape{3, size.H, size.W}
	n, err := sampleSize(shape)
	if err != nil || r.room.Add(int64(-n)) < 0 {
		return nil
	}
	to := make([]uint8, n)
	d.sample(shape, r.Fit, to)
	return to
}

// decode reads a file's picture, and hands it to use.
func decode(path string, use func(decoded)) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() { // a pipe would wait for ever
		return errors.New("not a regular file")
	}
	d, release, err := decodeFrom(f, maxPixels)
	if err != nil {
		return err
	}
	defer release()
	use(d)
	return nil
}

// settle decides on size and channels where the options leave them open.
func (r *folderReader) settle(all []*picture) error {
	if r.Size == (ops.Size{}) {
		if err := r.settleSize(all); err != nil {
			return err
		}
	}
	if r.Channels == 0 {
		r.Channels = 1
		for _, p := range all {
			if !p.grey {
				r.Channels = 3
			}
		}
	}
	_, err := sampleSize(r.shape())
	return err
}

// large is the most pixels a side of samples that nobody has asked for.
const large = 256

func (r *folderReader) settleSize(all []*picture) error {
	r.Size = all[0].size
	odd := slices.IndexFunc(all, func(p *picture) bool { return p.size != r.Size })
	switch {
	case r.Usual == ops.Size{} && odd < 0, odd < 0 && max(r.Size.H, r.Size.W) <= large:
		return nil
	case r.Usual == ops.Size{}:
		return errors.Errorf("data: Folder: %s has %d×%d pixels and %s %d×%d, want a size for all samples to be given", all[0].path,
			r.Size.H, r.Size.W, all[odd].path, all[odd].size.H, all[odd].size.W)
	}
	r.Size = r.Usual
	r.room.Store(heldInMemory)
	for i := range all {
		all[i].kept = nil
	}
	failed := make([]error, len(all))
	together(len(all), func(i int) {
		failed[i] = decode(all[i].path, func(d decoded) { all[i].kept = r.keep(d, r.Size) })
	})
	for i, err := range failed {
		if err != nil { // it could be read a moment ago
			return errors.Wrapf(err, "data: Folder: %s", all[i].path)
		}
	}
	return nil
}

func (r *folderReader) shape() tensor.Shape { return tensor.Shape{r.Channels, r.Size.H, r.Size.W} }

// split holds some pictures of each class back.
func (r *folderReader) split(all []*picture) (rest, held []*picture) {
	share := r.Held
	if share == 0 {
		share = 0.2
	}
	for class := range r.classes {
		var own []*picture
		for _, p := range all {
			if p.class == class {
				own = append(own, p)
			}
		}
		n := min(max(1, int(share*float64(len(own))+0.5)), len(own)-1)
		for i, k := range Shuffle(len(own), r.Seed, class) {
			if i < n {
				held = append(held, own[k])
			} else {
				rest = append(rest, own[k])
			}
		}
	}
	for _, list := range [][]*picture{rest, held} {
		slices.SortFunc(list, func(a, b *picture) int { return cmp.Compare(a.path, b.path) })
	}
	return rest, held
}

// sets makes sets of the two lists.
func (r *folderReader) sets(rest, held []*picture) (training, test Set, err error) {
	if training, err = r.set(rest); err != nil {
		return nil, nil, err
	}
	test, err = r.set(held)
	return training, test, err
}

// set is that of a list: one in memory, if that is not too much of it.
func (r *folderReader) set(list []*picture) (Set, error) {
	s := &folder{list, r.classes, r.shape(), r.Fit}
	size := s.shape.TotalSize()
	if len(list) > heldInMemory/size {
		return s, nil
	}
	pictures, labels := make([][]uint8, len(list)), make([]int, len(list))
	failed := make([]error, len(list))
	var wg sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		wg.Go(func() {
			for i := w; i < len(list); i += workers {
				labels[i] = list[i].class
				if pictures[i] = list[i].kept; len(pictures[i]) == size { // it is not copied
					continue
				}
				pictures[i] = make([]uint8, size)
				failed[i] = s.pixels(i, pictures[i])
				list[i].kept = nil
			}
		})
	}
	wg.Wait()
	for _, err := range failed {
		if err != nil {
			return nil, err
		}
	}
	return newImages(s.shape, s.classes, pictures, labels)
}

// A folder is a set of pictures in files, of which some are kept in memory.
type folder struct {
	list    []*picture
	classes []string
	shape   tensor.Shape
	fit     string
}

// Len implements Set.
func (s *folder) Len() int { return len(s.list) }

// Shape implements Set.
func (s *folder) Shape() tensor.Shape { return s.shape.Clone() }

// Classes implements Set.
func (s *folder) Classes() []string { return slices.Clone(s.classes) }

// Read implements Set.
func (s *folder) Read(i int, x []float32) (Target, error) {
	if err := checkRead(i, len(s.list), x, s.shape.TotalSize()); err != nil {
		return Target{}, err
	}
	pixels := make([]uint8, len(x))
	if err := s.pixels(i, pixels); err != nil {
		return Target{}, err
	}
	for k, b := range pixels {
		x[k] = float32(float64(b) / 255)
	}
	return Target{Class: s.list[i].class}, nil
}

// pixels are those of a picture as bytes C×H×W.
func (s *folder) pixels(i int, to []uint8) error {
	kept, n := s.list[i].kept, len(to)
	switch {
	case kept == nil:
		err := decode(s.list[i].path, func(d decoded) { d.sample(s.shape, s.fit, to) })
		return errors.Wrapf(err, "data: %s", s.list[i].path)
	case len(kept) == n:
		copy(to, kept)
	default: // in grey
		for k := range to {
			to[k] = grey(kept[k], kept[n+k], kept[2*n+k])
		}
	}
	return nil
}
