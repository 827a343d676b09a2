package data

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/pkg/errors"
	"gorgonia.org/tensor"
)

var _ = Register(Source{
	Name: "mnist", About: "MNIST, handwritten digits, or a set in files like its own",
	Files: idxFiles, Open: func(o Options) (Set, Set, error) { return pair(MNIST(o.Dir)) },
	Fetch: remotes([]string{"https://storage.googleapis.com/cvdf-datasets/mnist/", "https://ossci-datasets.s3.amazonaws.com/mnist/"},
		Remote{Name: "train-images-idx3-ubyte.gz", Size: 9912422, SHA256: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"},
		Remote{Name: "train-labels-idx1-ubyte.gz", Size: 28881, SHA256: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"},
		Remote{Name: "t10k-images-idx3-ubyte.gz", Size: 1648877, SHA256: "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"},
		Remote{Name: "t10k-labels-idx1-ubyte.gz", Size: 4542, SHA256: "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"}),
})

var _ = Register(Source{
	Name: "fashion-mnist", About: "Fashion-MNIST, pieces of clothing in files like MNIST's",
	Files: idxFiles,
	Open: func(o Options) (Set, Set, error) {
		training, test, err := MNIST(o.Dir)
		if err == nil && len(training.classes) == len(garments) {
			training.classes, test.classes = garments, garments
		}
		return pair(training, test, err)
	},
	Fetch: remotes([]string{"http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
		"https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/"},
		Remote{Name: "train-images-idx3-ubyte.gz", Size: 26421880, SHA256: "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"},
		Remote{Name: "train-labels-idx1-ubyte.gz", Size: 29515, SHA256: "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"},
		Remote{Name: "t10k-images-idx3-ubyte.gz", Size: 4422102, SHA256: "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"},
		Remote{Name: "t10k-labels-idx1-ubyte.gz", Size: 5148, SHA256: "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"}),
})

// idxFiles is what MNIST reads.
const idxFiles = "MNIST's four IDX files, plain or gzipped"

// garments are Fashion-MNIST's classes, by label.
var garments = []string{"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"}

// remotes are files that each of some addresses has.
func remotes(addresses []string, files ...Remote) []Remote {
	for i := range files {
		for _, a := range addresses {
			files[i].URLs = append(files[i].URLs, a+files[i].Name)
		}
	}
	return files
}

// MNIST reads the four files of MNIST, or of a set laid out like it, from a directory. Their names
// end in train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and
// t10k-labels-idx1-ubyte (EMNIST's in test-…), each plain or gzipped with the ending .gz.
//
// The classes are what the labels count: from 0, or from 1 where no label of either set is 0 (as in
// EMNIST's letters), to the largest. A class is named by its label.
//
// It returns an error that names the file, what was got and what was wanted if one is missing, cut
// short, corrupt, of the wrong kind, longer than it says, or does not match its partner.
func MNIST(dir string) (training, test *Images, err error) { return readMNIST(dir, "") }

// readMNIST is MNIST for files whose names begin so.
func readMNIST(dir, begin string) (training, test *Images, err error) {
	var parts [2]struct{ images, labels *idxFile }
	for i, prefixes := range [][]string{{begin + "train"}, {begin + "t10k", begin + "test"}} {
		p := &parts[i]
		if p.labels, err = readIDXFile(dir, prefixes, "-labels-idx1-ubyte", 1); err != nil {
			return nil, nil, err
		}
		if p.images, err = readIDXFile(dir, prefixes, "-images-idx3-ubyte", 3); err != nil {
			return nil, nil, err
		}
		if n, want := p.labels.sides[0], p.images.sides[0]; n != want {
			return nil, nil, errors.Errorf("data: %s holds %d labels, want %d, one for each image of %s",
				p.labels.path, n, want, p.images.path)
		}
	}
	a, b := parts[0].images, parts[1].images
	if a.sides[1] != b.sides[1] || a.sides[2] != b.sides[2] {
		return nil, nil, errors.Errorf("data: %s: images are %d×%d, want %d×%d like the training images",
			b.path, b.sides[1], b.sides[2], a.sides[1], a.sides[2])
	}
	lowest, highest := uint8(255), uint8(0)
	for _, p := range parts {
		for _, l := range p.labels.data {
			lowest, highest = min(lowest, l), max(highest, l)
		}
	}
	first := min(int(lowest), 1)
	if int(highest) == first {
		return nil, nil, errors.Errorf("data: %s: all labels are %d, want at least two classes", parts[0].labels.path, highest)
	}
	var sets [2]*Images
	for i, p := range parts {
		labels := make([]int, len(p.labels.data))
		for k, l := range p.labels.data {
			labels[k] = int(l) - first
		}
		shape := tensor.Shape{1, p.images.sides[1], p.images.sides[2]}
		if sets[i], err = NewImages(shape, decimals(first, int(highest)), p.images.data, labels); err != nil {
			return nil, nil, errors.Wrap(err, p.images.path)
		}
	}
	return sets[0], sets[1], nil
}

// decimals are the numbers from first to last as names.
func decimals(first, last int) (names []string) {
	for i := first; i <= last; i++ {
		names = append(names, strconv.Itoa(i))
	}
	return names
}

// An idxFile is what a file held.
type idxFile struct {
	path  string
	data  []byte
	sides []int
}

// readIDXFile reads the one file of unsigned bytes of that rank in dir whose name ends in one of
// the prefixes and the suffix, plain or with the ending .gz. A plain file goes before its gzipped
// twin.
func readIDXFile(dir string, prefixes []string, suffix string, rank int) (*idxFile, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Wrap(err, "data")
	}
	found := map[string]string{} // by name without .gz
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), ".gz")
		for _, p := range prefixes {
			if name == p+suffix || strings.HasSuffix(name, "-"+p+suffix) {
				if _, plain := found[name]; !plain || name == e.Name() {
					found[name] = e.Name()
				}
			}
		}
	}
	if len(found) == 0 {
		return nil, errors.Errorf("data: %q holds neither %s nor %s.gz", dir, prefixes[0]+suffix, prefixes[0]+suffix)
	}
	var path string
	for _, p := range prefixes { // the exact name is MNIST's own
		if file, ok := found[p+suffix]; ok && path == "" {
			path = filepath.Join(dir, file)
		}
	}
	if path == "" {
		for _, file := range found {
			path = filepath.Join(dir, file)
		}
		if len(found) > 1 {
			return nil, errors.Errorf("data: %q holds %d files *%s, want one", dir, len(found), prefixes[0]+suffix)
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, errors.Wrap(err, "data")
	}
	defer f.Close()
	data, sides, err := ReadIDX(f, rank)
	return &idxFile{path, data, sides}, errors.Wrapf(err, "data: %s", path)
}
