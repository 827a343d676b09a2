package data

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/pkg/errors"
)

// A Remote is a file that Fetch gets.
type Remote struct {
	Name   string
	Size   int64
	SHA256 string   // in hexadecimal digits
	URLs   []string // tried in turn
}

// CacheDir is where the files of a source are kept that Fetch got: CONVGRAD_DATA, or convgrad in
// the user's cache directory, and in it a directory of the source's name.
func CacheDir(source string) (string, error) {
	if dir := os.Getenv("CONVGRAD_DATA"); dir != "" {
		return filepath.Join(dir, source), nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", errors.Wrap(err, "data: the cache directory; CONVGRAD_DATA names another")
	}
	return filepath.Join(dir, "convgrad", source), nil
}

// Fetched reports whether all files of the source are in its cache directory. Their sizes are
// looked at; Fetch has seen their hashes.
func (s Source) Fetched() bool {
	dir, err := CacheDir(s.Name)
	if err != nil || len(s.Fetch) == 0 {
		return false
	}
	for _, r := range s.Fetch {
		if info, err := os.Stat(filepath.Join(dir, r.Name)); err != nil || info.Size() != r.Size {
			return false
		}
	}
	return true
}

// A Fetcher gets files. The zero value is ready to use.
type Fetcher struct {
	Client   *http.Client            // nil: http.DefaultClient
	Stall    time.Duration           // of silence that ends a transfer; 0 for 30 s
	Attempts int                     // at each address; 0 for 5
	Progress func(r Remote, n int64) // is told how much of a file is there; may be nil
}

// Get puts the files into a directory, which it makes. A file has its name once its size and
// SHA-256 are right, and not before: until then it is NAME.part, and a later Get goes on where it
// ends. A file that is there already is checked, and got again if it is another.
//
// It returns an error that names the file and what was wrong at each address if none gave it.
func (f Fetcher) Get(ctx context.Context, dir string, files []Remote) error {
	if ctx == nil {
		return errors.New("data: Get: the context is nil")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return errors.Wrap(err, "data: Get")
	}
	for _, r := range files {
		if r.Name != filepath.Base(r.Name) || r.Name == "." || r.Size < 1 || len(r.SHA256) != 2*sha256.Size || len(r.URLs) == 0 {
			return errors.Errorf("data: Get: %q has no plain name, size, SHA-256 or address", r.Name)
		}
		if err := f.file(ctx, dir, r); err != nil {
			return errors.Wrapf(err, "data: %s", r.Name)
		}
	}
	return nil
}

// file gets one file, if it is not there.
func (f Fetcher) file(ctx context.Context, dir string, r Remote) error {
	name := filepath.Join(dir, r.Name)
	if have, err := os.Open(name); err == nil {
		sum, n := sha256.New(), int64(0)
		n, err = io.Copy(sum, have)
		have.Close()
		if err == nil && n == r.Size && hex.EncodeToString(sum.Sum(nil)) == r.SHA256 {
			f.progress(r, r.Size)
			return nil
		}
		if err := os.Remove(name); err != nil { // it is not what its name says
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var said error
	attempts := f.Attempts
	if attempts <= 0 {
		attempts = 5
	}
	for _, url := range r.URLs {
		for k := range attempts {
			err := f.transfer(ctx, url, name+".part", r)
			if err == nil {
				return install(name, dir)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			said = errors.Wrap(err, url)
			if errors.Is(err, errRefused) {
				break // asking again gives the same answer
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(min(time.Duration(1<<k)*100*time.Millisecond, 5*time.Second)):
			}
		}
	}
	return said
}

// install gives a whole file its name.
func install(name, dir string) error {
	if err := os.Rename(name+".part", name); err != nil {
		return err
	}
	if d, err := os.Open(dir); err == nil { // not every system can sync a directory
		_ = d.Sync()
		d.Close()
	}
	return nil
}

// errRefused marks an answer that a second request would not change.
var errRefused = errors.New("the server has no such file")

// transfer goes on with a part until it is the whole file. What the hash refuses is deleted, since
// going on with it would be refused too.
func (f Fetcher) transfer(ctx context.Context, url, part string, r Remote) (err error) {
	file, err := os.OpenFile(part, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	sum := sha256.New()
	have, err := io.Copy(sum, file)
	if err != nil {
		return err
	}
	if have < r.Size {
		if have, err = f.receive(ctx, url, file, sum, have, r); err != nil {
			return err
		}
	}
	if got := hex.EncodeToString(sum.Sum(nil)); have != r.Size || got != r.SHA256 {
		if have >= r.Size {
			os.Remove(part)
		}
		return errors.Errorf("got %d bytes with the SHA-256 %s, want %d with %s", have, got, r.Size, r.SHA256)
	}
	return file.Sync()
}

// receive appends what the server sends, and returns how much there is then.
func (f Fetcher) receive(ctx context.Context, url string, file *os.File, sum hash.Hash, have int64, r Remote) (int64, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	stall := f.Stall
	if stall <= 0 {
		stall = 30 * time.Second
	}
	watch := time.AfterFunc(stall, stop) // a server that is silent is left
	defer watch.Stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return have, err
	}
	request.Header.Set("Accept-Encoding", "identity") // the file, not a packing of it
	if have > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
	}
	client := f.Client
	if client == nil {
		client = http.DefaultClient
	}
	answer, err := client.Do(request)
	if err != nil {
		return have, stalled(ctx, err, stall)
	}
	defer answer.Body.Close()
	switch {
	case have > 0 && answer.StatusCode == http.StatusPartialContent:
		if want := fmt.Sprintf("bytes %d-", have); len(answer.Header.Get("Content-Range")) < len(want) || answer.Header.Get("Content-Range")[:len(want)] != want {
			return have, errors.Errorf("the server sends %q, want it from byte %d", answer.Header.Get("Content-Range"), have)
		}
	case answer.StatusCode == http.StatusOK || answer.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		// It sends the whole file, or not this much of it: from the beginning then.
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return have, err
		}
		if err := file.Truncate(0); err != nil {
			return have, err
		}
		sum.Reset()
		if have = 0; answer.StatusCode != http.StatusOK {
			return 0, errors.Errorf("the server says %s", answer.Status)
		}
	case answer.StatusCode >= 400 && answer.StatusCode < 500 && answer.StatusCode != http.StatusTooManyRequests && answer.StatusCode != http.StatusRequestTimeout:
		return have, errors.Wrap(errRefused, answer.Status)
	default:
		return have, errors.Errorf("the server says %s", answer.Status)
	}
	buffer := make([]byte, 1<<16)
	for {
		n, err := answer.Body.Read(buffer)
		watch.Reset(stall)
		if n > 0 {
			if have += int64(n); have > r.Size {
				return have, errors.Errorf("the server sends more than %d bytes", r.Size)
			}
			sum.Write(buffer[:n])
			if _, err := file.Write(buffer[:n]); err != nil {
				return have, err
			}
			f.progress(r, have)
		}
		if err == io.EOF {
			return have, nil
		}
		if err != nil {
			return have, stalled(ctx, err, stall)
		}
	}
}

// stalled says that a transfer stopped, if that is what ended it.
func stalled(ctx context.Context, err error, after time.Duration) error {
	if ctx.Err() != nil {
		return errors.Errorf("nothing came for %v", after)
	}
	return err
}

func (f Fetcher) progress(r Remote, n int64) {
	if f.Progress != nil {
		f.Progress(r, n)
	}
}
