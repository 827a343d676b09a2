package data

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A liar is a server of one file. It does what bad says to the first requests.
type liar struct {
	content []byte
	bad     func(w http.ResponseWriter, r *http.Request, content []byte)
	times   atomic.Int32 // that it is bad
	asked   atomic.Int32
	ranges  atomic.Int32 // requests for a part
}

func (l *liar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Range") != "" {
		l.ranges.Add(1)
	}
	if l.asked.Add(1) <= l.times.Load() {
		l.bad(w, r, l.content)
		return
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(l.content))
}

// hang up without the end of the answer.
func hangUp(w http.ResponseWriter) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		c.Close()
	}
}

// send half of the file under the promise of all of it.
func half(w http.ResponseWriter, content []byte) {
	w.Header().Set("Content-Length", fmt.Sprint(len(content)))
	_, _ = w.Write(content[:len(content)/2])
	_ = http.NewResponseController(w).Flush()
}

// TestFetch: whatever the server does at first, the file has its name when it is right, and not
// before. What was got is not asked for again.
func TestFetch(t *testing.T) {
	t.Log("seed 8")
	r := rand.New(rand.NewPCG(8, 0))
	content := make([]byte, 300_000)
	for i := range content {
		content[i] = byte(r.Uint32())
	}
	sum := sha256.Sum256(content)
	wrong := bytes.Clone(content)
	wrong[7]++
	for name, c := range map[string]struct {
		bad    func(w http.ResponseWriter, r *http.Request, content []byte)
		times  int32
		ranges bool   // the rest is asked for
		err    string // what all attempts end with; "" for the file
	}{
		"honest": {},
		"cuts twice": {bad: func(w http.ResponseWriter, r *http.Request, b []byte) {
			if r.Header.Get("Range") == "" {
				half(w, b)
			}
			hangUp(w)
		}, times: 2, ranges: true},
		"stalls": {bad: func(w http.ResponseWriter, r *http.Request, b []byte) {
			half(w, b)
			<-r.Context().Done()
		}, times: 1, ranges: true},
		"stalls for ever":         {bad: func(w http.ResponseWriter, r *http.Request, b []byte) { <-r.Context().Done() }, times: 99, err: "nothing came for"},
		"another file":            {bad: func(w http.ResponseWriter, r *http.Request, b []byte) { _, _ = w.Write(wrong) }, times: 1},
		"always another":          {bad: func(w http.ResponseWriter, r *http.Request, b []byte) { _, _ = w.Write(wrong) }, times: 99, err: "with the SHA-256"},
		"too long":                {bad: func(w http.ResponseWriter, r *http.Request, b []byte) { _, _ = w.Write(append(bytes.Clone(b), 1)) }, times: 99, err: "more than 300000 bytes"},
		"ends early, and says so": {bad: func(w http.ResponseWriter, r *http.Request, b []byte) { _, _ = w.Write(b[:1000]) }, times: 1, ranges: true},
		"another part": {bad: func(w http.ResponseWriter, r *http.Request, b []byte) {
			if r.Header.Get("Range") == "" {
				half(w, b)
				hangUp(w)
				return
			}
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", len(b)-1, len(b)))
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(b)
		}, times: 2, ranges: true},
		"busy":    {bad: func(w http.ResponseWriter, r *http.Request, b []byte) { w.WriteHeader(http.StatusServiceUnavailable) }, times: 1},
		"missing": {bad: http404, times: 99, err: "404 Not Found"},
		"a page": {bad: func(w http.ResponseWriter, r *http.Request, b []byte) {
			_, _ = w.Write([]byte("<html>log in first</html>"))
		}, times: 99, err: "got 25 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &liar{content: content, bad: c.bad}
			l.times.Store(c.times)
			server := httptest.NewServer(l)
			defer server.Close()
			dir := filepath.Join(t.TempDir(), "new", "er")
			remote := []Remote{{Name: "set.bin", Size: int64(len(content)), SHA256: hex.EncodeToString(sum[:]), URLs: []string{server.URL + "/set.bin"}}}
			path := filepath.Join(dir, "set.bin")
			seen := int64(0)
			f := Fetcher{Stall: 250 * time.Millisecond, Attempts: 3, Progress: func(_ Remote, n int64) {
				if _, err := os.Stat(path); n < remote[0].Size && err == nil {
					t.Error("the file has its name before it is whole")
				}
				seen = n
			}}
			err := f.Get(context.Background(), dir, remote)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || !strings.HasPrefix(err.Error(), "data: set.bin: http") {
					t.Errorf("got %v, want %q", err, c.err)
				}
				if _, err := os.Stat(path); err == nil {
					t.Error("a file that is not right has its name")
				}
				l.times.Store(0) // the server mends its ways, and what is left does no harm
				err = f.Get(context.Background(), dir, remote)
			}
			got, readErr := os.ReadFile(path)
			if err != nil || readErr != nil || !bytes.Equal(got, content) || seen != remote[0].Size {
				t.Fatalf("got %d bytes, %v, %v", len(got), err, readErr)
			}
			if c.ranges && l.ranges.Load() == 0 {
				t.Error("the whole file was asked for again")
			}
			asked := l.asked.Load()
			if err := f.Get(context.Background(), dir, remote); err != nil || l.asked.Load() != asked {
				t.Errorf("a file that is here was asked for again (%v)", err)
			}
			if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
				t.Errorf("the directory holds %v (%v)", entries, err)
			}
			// Damage is seen, and repaired.
			if err := os.WriteFile(path, wrong, 0o644); err != nil {
				t.Fatal(err)
			}
			if err := f.Get(context.Background(), dir, remote); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content) {
				t.Errorf("damage was not repaired (%v)", err)
			}
		})
	}
}

func http404(w http.ResponseWriter, r *http.Request, _ []byte) { http.NotFound(w, r) }

// TestFetchStops: a context ends a transfer, another address is asked where one fails, and names
// with directories are refused.
func TestFetchStops(t *testing.T) {
	l := &liar{content: []byte("abc")}
	server := httptest.NewServer(l)
	defer server.Close()
	sum := sha256.Sum256(l.content)
	good := Remote{Name: "x", Size: 3, SHA256: hex.EncodeToString(sum[:]), URLs: []string{server.URL}}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := (Fetcher{}).Get(ctx, t.TempDir(), []Remote{good}); err == nil {
		t.Error("a context that is over fetched")
	}
	closed := httptest.NewServer(http.NotFoundHandler())
	second := good
	second.URLs = []string{closed.URL, server.URL}
	if err := (Fetcher{Attempts: 1}).Get(context.Background(), t.TempDir(), []Remote{second}); err != nil {
		t.Error(err)
	}
	closed.Close()
	for _, name := range []string{"../x", "", ".", "a/b"} {
		bad := good
		bad.Name = name
		if err := (Fetcher{}).Get(context.Background(), t.TempDir(), []Remote{bad}); err == nil {
			t.Errorf("the name %q was taken", name)
		}
	}
}

// TestCache: a set whose files are in the cache directory needs no directory of its own.
func TestCache(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("CONVGRAD_DATA", cache)
	s, err := Find("mnist")
	if err != nil {
		t.Fatal(err)
	}
	if s.Fetched() {
		t.Error("an empty cache holds MNIST")
	}
	_, _, err = Open("mnist", Options{})
	if err == nil || !strings.Contains(err.Error(), "train data mnist -fetch gets them") {
		t.Errorf("got %v", err)
	}
	if dir, err := CacheDir("mnist"); err != nil || dir != filepath.Join(cache, "mnist") {
		t.Errorf("the cache is %q (%v)", dir, err)
	}
	for _, source := range Sources() {
		for _, r := range source.Fetch {
			if len(r.SHA256) != 64 || r.Size < 1 || len(r.URLs) == 0 || !strings.HasSuffix(r.URLs[0], r.Name) {
				t.Errorf("%s: %+v is not pinned", source.Name, r)
			}
		}
	}
}
