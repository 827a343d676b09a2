package data

import (
	"archive/tar"
	"compress/gzip"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/pkg/errors"
	"gorgonia.org/tensor"
)

const cifarArchive = "cifar-10-binary.tar.gz"

var _ = Register(Source{
	Name: "cifar10", About: "CIFAR-10, colour pictures 32×32 of ten kinds of things",
	Files: "the files of CIFAR-10's binary version, or its archive " + cifarArchive,
	Open:  func(o Options) (Set, Set, error) { return pair(CIFAR10(o.Dir)) },
	Fetch: []Remote{{
		Name: cifarArchive, Size: 170052171, SHA256: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
		URLs: []string{"https://www.cs.toronto.edu/~kriz/" + cifarArchive},
	}},
})

// cifarClasses are CIFAR-10's, by label.
var cifarClasses = []string{"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"}

// cifarRecord is a label and the three planes of a picture.
const cifarSide, cifarRecord = 32, 1 + 3*32*32

// maxCIFAR bounds what one file may hold; the originals have 10,000 records.
const maxCIFAR = 100_000

// cifarFiles are those to train on, and the one to test on.
var cifarFiles = []string{"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin"}

// CIFAR10 reads the binary version of CIFAR-10 (Krizhevsky, 2009) from a directory:
// data_batch_1.bin to data_batch_5.bin and test_batch.bin, there or in cifar-10-batches-bin, or in
// the archive cifar-10-binary.tar.gz as it is published.
//
// It returns an error that names the file, what was got and what was wanted if one is missing, cut
// short, or holds a label that is no class.
func CIFAR10(dir string) (training, test *Images, err error) {
	var files map[string][]byte
	for _, sub := range []string{dir, filepath.Join(dir, "cifar-10-batches-bin")} {
		if _, err := os.Stat(filepath.Join(sub, cifarFiles[0])); err == nil {
			files, err = cifarDirectory(sub)
			if err != nil {
				return nil, nil, err
			}
			break
		}
	}
	if files == nil {
		if files, err = cifarTar(filepath.Join(dir, cifarArchive)); err != nil {
			return nil, nil, err
		}
	}
	var sets [2]*Images
	last := len(cifarFiles) - 1
	for i, names := range [][]string{cifarFiles[:last], cifarFiles[last:]} {
		var pixels []uint8
		var labels []int
		for _, name := range names {
			if pixels, labels, err = cifarRecords(files[name], pixels, labels); err != nil {
				return nil, nil, errors.Wrapf(err, "data: CIFAR10: %s in %s", name, dir)
			}
		}
		if sets[i], err = NewImages(tensor.Shape{3, cifarSide, cifarSide}, cifarClasses, pixels, labels); err != nil {
			return nil, nil, err
		}
	}
	return sets[0], sets[1], nil
}

// cifarRecords appends the pictures of a file.
func cifarRecords(b []byte, pixels []uint8, labels []int) ([]uint8, []int, error) {
	if len(b) == 0 || len(b)%cifarRecord != 0 {
		return nil, nil, errors.Errorf("%d bytes, want a positive multiple of %d, a label and a picture", len(b), cifarRecord)
	}
	for ; len(b) > 0; b = b[cifarRecord:] {
		if int(b[0]) >= len(cifarClasses) {
			return nil, nil, errors.Errorf("picture %d has the label %d, want 0 to %d", len(labels), b[0], len(cifarClasses)-1)
		}
		labels = append(labels, int(b[0]))
		pixels = append(pixels, b[1:cifarRecord]...)
	}
	return pixels, labels, nil
}

func cifarDirectory(dir string) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, name := range cifarFiles {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			return nil, errors.Wrap(err, "data: CIFAR10")
		}
		files[name], err = cifarBytes(f)
		f.Close()
		if err != nil {
			return nil, errors.Wrapf(err, "data: CIFAR10: %s", filepath.Join(dir, name))
		}
	}
	return files, nil
}

// cifarBytes reads a file that is no larger than it may be.
func cifarBytes(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxCIFAR*cifarRecord+1))
	if err == nil && len(b) > maxCIFAR*cifarRecord {
		err = errors.Errorf("there are more than %d pictures", maxCIFAR)
	}
	return b, err
}

func cifarTar(name string) (map[string][]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, errors.Wrapf(err, "data: CIFAR10: there is neither %s nor the archive", cifarFiles[0])
	}
	defer f.Close()
	files, err := cifarEntries(f)
	if err != nil {
		return nil, errors.Wrapf(err, "data: CIFAR10: %s", name)
	}
	for _, want := range cifarFiles {
		if files[want] == nil {
			return nil, errors.Errorf("data: CIFAR10: %s holds no %s", name, want)
		}
	}
	return files, nil
}

// cifarEntries reads the files of the archive by their names without directories.
func cifarEntries(r io.Reader) (map[string][]byte, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	defer z.Close()
	files := map[string][]byte{}
	for t := tar.NewReader(io.LimitReader(z, 10*maxCIFAR*cifarRecord)); ; {
		h, err := t.Next()
		if err == io.EOF {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if base := path.Base(h.Name); strings.HasSuffix(base, ".bin") && files[base] == nil {
			if files[base], err = cifarBytes(t); err != nil {
				return nil, errors.Wrap(err, base)
			}
		}
	}
}
