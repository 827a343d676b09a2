package train

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pkg/errors"
	"gorgonia.org/tensor"
)

// maxIDX bounds what one file may hold; MNIST's largest is 47 MB.
const maxIDX = 1 << 30

// LoadMNIST reads the four files of MNIST, or of a dataset laid out like it, from a directory: train-images-idx3-ubyte, train-labels-idx1-ubyte,
// t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, each plain or gzipped with the ending .gz.
//
// It returns an error that names the file, what was got and what was wanted if one is missing, cut short, corrupt, of the wrong kind, longer than it says, or does not match its partner.
func LoadMNIST(dir string) (*Dataset, error) {
	d := &Dataset{Name: "mnist", Classes: digits()}
	for _, part := range []struct {
		prefix string
		split  *Split
	}{{"train", &d.Train}, {"t10k", &d.Test}} {
		images, err := readIDXFile(dir, part.prefix+"-images-idx3-ubyte", 3)
		if err != nil {
			return nil, err
		}
		labels, err := readIDXFile(dir, part.prefix+"-labels-idx1-ubyte", 1)
		if err != nil {
			return nil, err
		}
		if labels.sides[0] != images.sides[0] {
			return nil, errors.Errorf("train: %s holds %d labels, want %d, one for each image of %s", labels.path, labels.sides[0], images.sides[0], images.path)
		}
		for i, l := range labels.data {
			if int(l) >= len(d.Classes) {
				return nil, errors.Errorf("train: %s: label %d is %d, want 0 to %d", labels.path, i, l, len(d.Classes)-1)
			}
		}
		input := tensor.Shape{1, images.sides[1], images.sides[2]}
		if d.Input == nil {
			d.Input = input
		}
		if !d.Input.Eq(input) {
			return nil, errors.Errorf("train: %s: images are %d×%d, want %d×%d like the training images", images.path, input[1], input[2], d.Input[1], d.Input[2])
		}
		*part.split = Split{Images: images.data, Labels: labels.data}
	}
	return d, d.Check()
}

// An idxFile is what a file held.
type idxFile struct {
	path  string
	data  []byte
	sides []int
}

// readIDXFile reads a file of unsigned bytes of that rank, or the same with the ending .gz.
func readIDXFile(dir, name string, rank int) (*idxFile, error) {
	path := filepath.Join(dir, name)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		path += ".gz"
		f, err = os.Open(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Errorf("train: %q holds neither %s nor %s.gz", dir, name, name)
	}
	if err != nil {
		return nil, errors.Wrap(err, "train")
	}
	defer f.Close()
	data, sides, err := ReadIDX(f, rank)
	return &idxFile{path, data, sides}, errors.Wrapf(err, "train: %s", path)
}

// ReadIDX reads a tensor of unsigned bytes in the IDX format (LeCun's MNIST page): two zero bytes, the type 8, the rank, each side as a big-endian uint32, then the bytes, row-major.
// A gzipped stream is recognised by its first bytes. Memory grows with what is there, not with what the header claims.
//
// It returns an error that says what was got and wanted if the stream is not such a tensor of the wanted rank, is cut short, corrupt, or longer than its header says.
func ReadIDX(r io.Reader, rank int) (data []byte, sides []int, err error) {
	if rank < 1 || rank > 255 {
		return nil, nil, errors.Errorf("the wanted rank is %d, want 1 to 255", rank)
	}
	if r == nil {
		return nil, nil, errors.New("the reader is nil")
	}
	b := bufio.NewReader(r)
	if magic, err := b.Peek(2); err == nil && magic[0] == 0x1f && magic[1] == 0x8b {
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, nil, errors.Wrap(err, "gzip")
		}
		defer z.Close()
		b = bufio.NewReader(z)
	}
	header := make([]byte, 4+4*rank)
	if n, err := io.ReadFull(b, header); err != nil {
		return nil, nil, errors.Wrapf(unexpected(err), "the header ends after %d bytes, want %d", n, len(header))
	}
	if magic, want := binary.BigEndian.Uint32(header), uint32(8<<8|rank); magic != want {
		return nil, nil, errors.Errorf("the magic number is %#08x, want %#08x: unsigned bytes of rank %d", magic, want, rank)
	}
	size := 1
	for i := range rank {
		s := binary.BigEndian.Uint32(header[4+4*i:])
		if s == 0 || s > maxIDX || size > maxIDX/int(s) {
			return nil, nil, errors.Errorf("side %d of %d is %d, want positive sides and at most %d bytes in all", i+1, rank, s, maxIDX)
		}
		size *= int(s)
		sides = append(sides, int(s))
	}
	var buf bytes.Buffer
	n, err := io.Copy(&buf, io.LimitReader(b, int64(size)+1))
	if err != nil {
		return nil, nil, errors.Wrapf(err, "after %d of %d bytes of data", n, size)
	}
	if n < int64(size) {
		return nil, nil, errors.Errorf("the data ends after %d bytes, want %d for %v", n, size, sides)
	}
	if n > int64(size) {
		return nil, nil, errors.Errorf("there is more after the %d bytes of data that the sides %v say", size, sides)
	}
	return buf.Bytes(), sides, nil
}

// unexpected is the error of a read that met the end of the file before the first byte that it wanted.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
