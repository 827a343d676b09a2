package data

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"io"

	"github.com/pkg/errors"
)

// maxIDX bounds what one file may hold. MNIST's largest is 47 MB, EMNIST's 547 MB.
const maxIDX = 1 << 30

// ReadIDX reads a tensor of unsigned bytes in the IDX format (LeCun's MNIST page): two zero bytes,
// the type 8, the rank, each side as a big-endian uint32, then the bytes, row-major. A gzipped
// stream is recognised by its first bytes.
//
// Memory follows what the stream holds: never more than four times the bytes that have arrived,
// never more than the header says, and in all at most 4/3 of that.
//
// It returns an error that says what was got and wanted if the stream is not such a tensor of the
// wanted rank, is cut short, corrupt, or longer than its header says.
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
	if data, err = readExactly(b, size); err != nil {
		if err == io.EOF {
			return nil, nil, errors.Errorf("the data ends after %d bytes, want %d for %v", len(data), size, sides)
		}
		return nil, nil, errors.Wrapf(err, "after %d of %d bytes of data", len(data), size)
	}
	// The end is read too: a gzipped stream keeps its checksum there.
	switch _, err := b.ReadByte(); {
	case err == nil:
		return nil, nil, errors.Errorf("there is more after the %d bytes of data that the sides %v say", size, sides)
	case err != io.EOF:
		return nil, nil, errors.Wrapf(err, "after %d of %d bytes of data", size, size)
	}
	return data, sides, nil
}

// readExactly reads size bytes into memory that grows fourfold as they arrive, so that a stream
// that claims more than it holds costs no more than four times what it holds. It returns io.EOF,
// and what there was, for a stream that ends early.
func readExactly(r io.Reader, size int) ([]byte, error) {
	const first = 1 << 16
	data, n := make([]byte, min(size, first)), 0
	for {
		for n < len(data) { // io.ReadFull would hide which of two ends it met
			k, err := r.Read(data[n:])
			n += k
			if err != nil && n < size {
				return data[:n], err
			}
		}
		if n == size {
			return data, nil
		}
		grown := make([]byte, min(size, 4*len(data)))
		copy(grown, data)
		data = grown
	}
}

// unexpected is the error of a read that met the end of the file before the first byte that it
// wanted.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
