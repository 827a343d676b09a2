package data

import (
	"archive/zip"
	"bytes"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/pkg/errors"
	"gorgonia.org/tensor"
)

const emnistArchive = "gzip.zip"

var _ = Register(Source{
	Name: "emnist", About: "EMNIST, handwritten digits and letters of 47 kinds (its balanced split)",
	Files: "EMNIST's archive " + emnistArchive + ", or the files emnist-balanced-… of it",
	Open:  func(o Options) (Set, Set, error) { return pair(EMNIST(o.Dir, "balanced")) },
	Fetch: []Remote{{
		Name: emnistArchive, Size: 561753746, SHA256: "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e",
		URLs: []string{"https://biometrics.nist.gov/cs_links/EMNIST/" + emnistArchive},
	}},
})

// EMNIST reads one split of EMNIST (Cohen et al., 2017): balanced, byclass, bymerge, digits,
// letters or mnist. Its files are in the directory, or in the archive gzip.zip as it is published.
// Its pictures, which the files hold on their sides, stand upright. The classes have the names that
// the split's mapping gives them, where it is there.
//
// It returns the errors of MNIST, and one for a damaged archive.
func EMNIST(dir, split string) (training, test *Images, err error) {
	from, done := dir, func() {}
	mapping := "emnist-" + split + "-mapping.txt"
	text, err := os.ReadFile(filepath.Join(dir, mapping))
	if archive := filepath.Join(dir, emnistArchive); err != nil {
		if _, missing := os.Stat(archive); missing == nil {
			if from, done, err = unpackEMNIST(archive, "emnist-"+split+"-"); err != nil {
				return nil, nil, errors.Wrapf(err, "data: EMNIST: %s", archive)
			}
			text, _ = os.ReadFile(filepath.Join(from, mapping)) // no names without it
		}
	}
	defer done()
	if training, test, err = readMNIST(from, "emnist-"+split+"-"); err != nil {
		return nil, nil, err
	}
	names := emnistNames(text, training.classes)
	for _, s := range []*Images{training, test} {
		s.classes = names
		for _, p := range s.pictures {
			upright(p, s.shape)
		}
	}
	return training, test, nil
}

// emnistUnpack copies the files of a split to a directory that done removes.
func unpackEMNIST(archive, prefix string) (dir string, done func(), err error) {
	z, err := zip.OpenReader(archive)
	if err != nil {
		return "", nil, err
	}
	defer z.Close()
	if dir, err = os.MkdirTemp("", "emnist"); err != nil {
		return "", nil, err
	}
	done = func() { os.RemoveAll(dir) }
	for _, f := range z.File {
		if base := path.Base(f.Name); strings.HasPrefix(base, prefix) {
			if err := extract(f, filepath.Join(dir, base)); err != nil {
				done()
				return "", nil, errors.Wrap(err, base)
			}
		}
	}
	return dir, done, nil
}

func extract(f *zip.File, to string) error {
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.Create(to)
	if err != nil {
		return err
	}
	n, err := io.Copy(w, io.LimitReader(r, maxIDX))
	if end := w.Close(); err == nil {
		err = end
	}
	if err == nil && n == maxIDX {
		err = errors.Errorf("the file has %d bytes or more", maxIDX)
	}
	return err
}

// emnistNames reads lines of a label and the codes of its characters, of which the first counts.
func emnistNames(mapping []byte, labels []string) []string {
	names := append([]string(nil), labels...)
	for _, line := range bytes.Split(mapping, []byte{'\n'}) {
		f := strings.Fields(string(line))
		if len(f) < 2 {
			continue
		}
		code, err := strconv.Atoi(f[1])
		for i, label := range labels {
			if label == f[0] && err == nil && code > ' ' && code < 127 {
				names[i] = string(rune(code))
			}
		}
	}
	if checkClasses(names) != nil {
		return labels
	}
	return names
}

// upright exchanges the rows and columns of square pictures.
func upright(pixels []uint8, shape tensor.Shape) {
	h, w := shape[1], shape[2]
	if h != w {
		return
	}
	for i := range h {
		for j := range i {
			pixels[i*w+j], pixels[j*w+i] = pixels[j*w+i], pixels[i*w+j]
		}
	}
}
