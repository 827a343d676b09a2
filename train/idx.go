package train

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"
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
		images, sides, err := readIDXFile(dir, part.prefix+"-images-idx3-ubyte", 3)
		if err != nil {
			return nil, err
		}
		labels, count, err := readIDXFile(dir, part.prefix+"-labels-idx1-ubyte", 1)
		if err != nil {
			return nil, err
		}
		if count[0] != sides[0] {
			return nil, errors.Errorf("train: %s: %d %s images and %d labels, want as many", dir, sides[0], part.prefix, count[0])
		}
		input := tensor.Shape{1, sides[1], sides[2]}
		if d.Input == nil {
			d.Input = input
		}
		if !d.Input.Eq(input) {
			return nil, errors.Errorf("train: %s: %s images are %d×%d, want %d×%d like the training images", dir, part.prefix, sides[1], sides[2], d.Input[1], d.Input[2])
		}
		*part.split = Split{Images: images, Labels: labels}
	}
	return d, errors.Wrap(d.Check(), dir)
}

// readIDXFile reads a file of unsigned bytes of that rank, or the same with the ending .gz.
func readIDXFile(dir, name string, rank int) (data []byte, sides []int, err error) {
	path := filepath.Join(dir, name)
	f, err := os.Open(path)
	if os.IsNotExist(err) {
		path += ".gz"
		f, err = os.Open(path)
	}
	if os.IsNotExist(err) {
		return nil, nil, errors.Errorf("train: %s holds neither %s nor %s.gz", dir, name, name)
	}
	if err != nil {
		return nil, nil, errors.Wrap(err, "train")
	}
	defer f.Close()
	data, sides, err = ReadIDX(f, rank)
	return data, sides, errors.Wrapf(err, "train: %s", path)
}

// ReadIDX reads a tensor of unsigned bytes in the IDX format (LeCun's MNIST page): two zero bytes, the type 8, the rank, each side as a big-endian uint32, then the bytes, row-major.
// A gzipped stream is recognised by its first bytes. Memory grows with what is there, not with what the header claims.
//
// It returns an error that says what was got and wanted if the stream is not such a tensor of the wanted rank, is cut short, corrupt, or longer than its header says.
func ReadIDX(r io.Reader, rank int) (data []byte, sides []int, err error) {
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
		return nil, nil, errors.Wrapf(err, "the header ends after %d bytes, want %d", n, len(header))
	}
	if magic, want := binary.BigEndian.Uint32(header), uint32(8<<8|rank); magic != want {
		return nil, nil, errors.Errorf("the magic number is %#08x, want %#08x: unsigned bytes of rank %d", magic, want, rank)
	}
	size := 1
	for i := range rank {
		s := binary.BigEndian.Uint32(header[4+4*i:])
		if s == 0 || uint64(s) > maxIDX || size > maxIDX/int(s) {
			return nil, nil, errors.Errorf("side %d is %d: want positive sides and at most %d bytes in all", i, s, maxIDX)
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
