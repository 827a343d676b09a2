package serve

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/png"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/convgrad/convgrad/train"
	"github.com/convgrad/convgrad/train/data"
)

// digits is a run on a few digits, which all tests share, and pictures that it was not trained on.
var digits = sync.OnceValues(func() (*train.SavedRun, *data.Images) {
	dir, err := os.MkdirTemp("", "serve")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	training, test, err := data.Open("digits", data.Options{Train: 1500, Test: 100, Seed: 3})
	if err != nil {
		panic(err)
	}
	c := train.Config{Data: "digits", Model: "lenet5", Loss: "cross-entropy", Epochs: 1, Batch: 25, Optimizer: "adam", Seed: 3}
	tr, err := c.Trainer(training, test)
	if err != nil {
		panic(err)
	}
	tr.Dir = filepath.Join(dir, "run")
	if _, err := tr.Run(context.Background()); err != nil {
		panic(err)
	}
	r, err := train.OpenRun(tr.Dir)
	if err != nil {
		panic(err)
	}
	return r, test.(*data.Images)
})

func newServer(t testing.TB, o Options) *Server {
	t.Helper()
	r, _ := digits()
	s, err := New(r, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// picturePNG is a test picture as a file, and its class as the network has it.
func picturePNG(t testing.TB, i int) (b []byte, pixels []uint8, class string) {
	t.Helper()
	r, set := digits()
	pixels, err := set.Pixels(i)
	if err != nil {
		t.Fatal(err)
	}
	img := image.NewGray(image.Rect(0, 0, 28, 28))
	copy(img.Pix, pixels)
	classes, _, err := r.Classify(pixels)
	if err != nil {
		t.Fatal(err)
	}
	return encodePNG(t, img), pixels, r.Classes[classes[0]]
}

func encodePNG(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// ask posts a body and returns the code and the answer.
func ask(t testing.TB, h http.Handler, query, kind string, body []byte) (code int, results []Result, problem string) {
	t.Helper()
	r := httptest.NewRequest("POST", "/predict"+query, bytes.NewReader(body))
	r.Header.Set("Content-Type", kind)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var a struct {
		Results []Result
		Error   string
	}
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		t.Fatalf("code %d, %q: %v", w.Code, w.Body, err)
	}
	if (w.Code == http.StatusOK) != (len(a.Results) > 0) || (w.Code == http.StatusOK) != (a.Error == "") {
		t.Errorf("code %d, %q", w.Code, w.Body)
	}
	return w.Code, a.Results, a.Error
}

// TestPredict: every form of request gives the network's class.
func TestPredict(t *testing.T) {
	s := newServer(t, Options{})
	for i := range 20 {
		file, pixels, want := picturePNG(t, i)
		check := func(form string, code int, results []Result, problem string) {
			t.Helper()
			if code != http.StatusOK {
				t.Errorf("%s: code %d, %s", form, code, problem)
				return
			}
			for _, r := range results {
				sum := 0.0
				for _, p := range r.Predictions {
					sum += p.Probability
				}
				if got := r.Predictions[0].Class; got != want || len(r.Predictions) == 10 && !(sum > 0.999999 && sum < 1.000001) {
					t.Errorf("%s: picture %d is a %s, want %s; the probabilities sum up to %v", form, i, got, want, sum)
				}
			}
		}
		form := func(name, query, kind string, body []byte) []Result {
			code, results, problem := ask(t, s, query, kind, body)
			check(name, code, results, problem)
			return results
		}
		form("a picture", "", "image/png", file)
		form("a picture of no type", "", "", file)
		if r := form("top", "?top=2", "application/x-www-form-urlencoded", file); len(r[0].Predictions) != 2 {
			t.Errorf("top=2 gives %d classes", len(r[0].Predictions))
		}
		text := base64.StdEncoding.EncodeToString(file)
		form("JSON", "", "application/json", fmt.Appendf(nil, `{"image":%q}`, text))
		if r := form("JSON, two", "", "application/json; charset=utf-8", fmt.Appendf(nil, `{"images":[%q,%q]}`, text, text)); len(r) != 2 {
			t.Errorf("two images give %d results", len(r))
		}
		numbers := strings.Trim(strings.ReplaceAll(fmt.Sprint(pixels), " ", ","), "[]")
		form("JSON, pixels", "", "application/json", fmt.Appendf(nil, `{"pixels":[%s]}`, numbers))
		var parts bytes.Buffer
		m := multipart.NewWriter(&parts)
		for range 3 {
			p, err := m.CreateFormFile("picture", "ü.png")
			if err != nil {
				t.Fatal(err)
			}
			p.Write(file)
		}
		m.WriteField("empty", "")
		m.Close()
		if r := form("parts", "", m.FormDataContentType(), parts.Bytes()); len(r) != 3 {
			t.Errorf("three parts give %d results", len(r))
		}
		r := form("features", "?features=1", "image/png", file)
		if len(r[0].Layers) != 6 || !strings.HasPrefix(string(r[0].Gradient), "data:image/png;base64,") || !strings.HasPrefix(string(r[0].Layers[5].Maps), "data:image/png;base64,") {
			t.Errorf("features: %d layers", len(r[0].Layers))
		}
		img := image.NewGray(image.Rect(0, 0, 28, 28))
		for k, v := range pixels {
			img.Pix[k] = 255 - v
		}
		form("inverted", "?invert=1", "image/png", encodePNG(t, img))
	}
}

// bomb is the beginning of a PNG of that size.
func bomb(w, h uint32) []byte {
	head := append([]byte("IHDR"), 0, 0, 0, 0, 0, 0, 0, 0, 8, 2, 0, 0, 0)
	binary.BigEndian.PutUint32(head[4:], w)
	binary.BigEndian.PutUint32(head[8:], h)
	b := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\r"), head...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(head))
}

// TestRefuses: what is wrong with a request is said, with the code for it.
func TestRefuses(t *testing.T) {
	s := newServer(t, Options{MaxBytes: 20000, MaxPictures: 2, MaxPixels: 10000})
	file, _, _ := picturePNG(t, 0)
	text := base64.StdEncoding.EncodeToString(file)
	var parts bytes.Buffer
	m := multipart.NewWriter(&parts)
	for range 3 {
		p, err := m.CreateFormFile("p", "p")
		if err != nil {
			t.Fatal(err)
		}
		p.Write(file)
	}
	m.Close()
	scans := append([]byte{0xFF, 0xD8}, bytes.Repeat([]byte{0xFF, 0xDA}, 200)...)
	for name, c := range map[string]struct {
		query, kind string
		body        []byte
		code        int
		want        string
	}{
		"nothing":           {"", "image/png", nil, 400, "the body is empty"},
		"text":              {"", "text/plain", []byte("hello"), 415, "unknown format"},
		"half a picture":    {"", "image/png", file[:len(file)/2], 400, "the picture: "},
		"a huge picture":    {"", "image/png", bomb(30000, 30000), 400, "30000×30000 pixels, want at most 10000"},
		"negative sides":    {"", "image/png", bomb(1<<31+7, 5), 400, "the picture"},
		"scans":             {"", "image/jpeg", scans, 400, "more than 100 scans"},
		"a huge body":       {"", "image/png", make([]byte, 20001), 413, "20001 bytes, want at most 20000"},
		"a type that lies":  {"", "application/json", file, 400, "JSON: "},
		"a type of its own": {"", "a/b/c", file, 415, "the content type"},
		"no JSON object":    {"", "application/json", []byte(`[]`), 400, "JSON: "},
		"an unknown key":    {"", "application/json", []byte(`{"picture":""}`), 400, `unknown field "picture"`},
		"no key":            {"", "application/json", []byte(`{}`), 400, `0 of "image"`},
		"two keys":          {"", "application/json", fmt.Appendf(nil, `{"image":%q,"pixels":[1]}`, text), 400, `2 of "image"`},
		"two values":        {"", "application/json", fmt.Appendf(nil, `{"image":%q} 1`, text), 400, "more than one value"},
		"no base64":         {"", "application/json", []byte(`{"image":"%%"}`), 400, "JSON: "},
		"no images":         {"", "application/json", []byte(`{"images":[]}`), 400, "there are no images"},
		"an image of none":  {"", "application/json", fmt.Appendf(nil, `{"images":[%q,"QQ=="]}`, text), 415, "image 2: "},
		"many images":       {"", "application/json", []byte(`{"images":["","",""]}`), 413, "more than 2 pictures"},
		"images of none":    {"", "application/json", []byte(`{"images":5}`), 400, "is no array"},
		"few pixels":        {"", "application/json", []byte(`{"pixels":[1,2]}`), 400, "2 pixels, want 784"},
		"a bright pixel":    {"", "application/json", []byte(`{"pixels":[256` + strings.Repeat(",0", 783) + `]}`), 400, "pixel 0 is 256"},
		"half a pixel":      {"", "application/json", []byte(`{"pixels":[0.5` + strings.Repeat(",0", 783) + `]}`), 400, "not 784 whole numbers"},
		"many parts":        {"", m.FormDataContentType(), parts.Bytes(), 413, "more than 2 pictures"},
		"half the parts":    {"", m.FormDataContentType(), parts.Bytes()[:300], 400, "multipart/form-data: "},
		"no boundary":       {"", "multipart/form-data", parts.Bytes(), 400, "multipart"},
		"no parts":          {"", "multipart/form-data; boundary=x", []byte("--x--\r\n"), 400, "no picture in the parts"},
		"top of none":       {"?top=0", "image/png", file, 400, "top is"},
		"half a query":      {"?top=%", "image/png", file, 400, "the query"},
		"many features":     {"?features=1", "application/json", fmt.Appendf(nil, `{"images":[%q,%q]}`, text, text), 400, "features of 2 pictures"},
	} {
		if code, _, problem := ask(t, s, c.query, c.kind, c.body); code != c.code || !strings.Contains(problem, c.want) {
			t.Errorf("%s: code %d, %q, want %d and %q", name, code, problem, c.code, c.want)
		}
	}
	for path, want := range map[string]int{"/predict": 405, "/": 200, "/healthz": 200, "/metrics": 200, "/page.js": 200, "/page.css": 200, "/nowhere": 404, "/page.html": 404} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != want {
			t.Errorf("GET %s: code %d, want %d", path, w.Code, want)
		}
		if path == "/metrics" && !strings.Contains(w.Body.String(), `convgrad_requests_total{code="415"} `) {
			t.Error("the metrics do not count refusals")
		}
	}
	r, _ := digits()
	for _, o := range []Options{{MaxBytes: -1}, {Grace: -1}} {
		if _, err := New(r, o); err == nil {
			t.Errorf("the limits %+v are taken", o)
		}
	}
	if _, err := New(nil, Options{}); err == nil {
		t.Error("a nil run is served")
	}
}

// listen serves on loopback. The server ends by stop, which waits for it.
func listen(t *testing.T, o Options) (url string, stop func() error) {
	t.Helper()
	r, _ := digits()
	s, err := New(r, o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	stop = sync.OnceValue(func() error {
		cancel()
		err := <-ended
		s.Close()
		return err
	})
	t.Cleanup(func() { stop() })
	return "http://" + l.Addr().String(), stop
}

// goroutines waits until there are no more than before, and returns how many there are.
func goroutines(before int) (now int) {
	for range 200 {
		if now = runtime.NumGoroutine(); now <= before {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return now
}

// TestLoad sends requests at a concurrency of 64 over loopback. None is lost, each gets the answer
// to its own picture, and no goroutine is left. CONVGRAD_LOAD is how many; 100000 takes a minute.
func TestLoad(t *testing.T) {
	count := 2000
	if text := os.Getenv("CONVGRAD_LOAD"); text != "" {
		var err error
		if count, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	const at = 64
	var files [50][]byte
	var classes [50]string
	for i := range files {
		files[i], _, classes[i] = picturePNG(t, i)
	}
	before := runtime.NumGoroutine()
	url, stop := listen(t, Options{})
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: at}}
	var next, right atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for range at {
		wg.Go(func() {
			for n := next.Add(1); n <= int64(count); n = next.Add(1) {
				k := int(n) % len(files)
				res, err := client.Post(url+"/predict?top=1", "image/png", bytes.NewReader(files[k]))
				if err != nil {
					t.Error(err)
					return
				}
				var a struct{ Results []Result }
				err = json.NewDecoder(res.Body).Decode(&a)
				res.Body.Close()
				if err != nil || res.StatusCode != http.StatusOK || len(a.Results) != 1 || a.Results[0].Predictions[0].Class != classes[k] {
					t.Errorf("request %d: code %d, %+v, %v; want the class %s", n, res.StatusCode, a, err, classes[k])
					return
				}
				right.Add(1)
			}
		})
	}
	wg.Wait()
	t.Logf("%d requests at %d a second", count, int(float64(count)/time.Since(start).Seconds()))
	if int(right.Load()) != count {
		t.Errorf("%d of %d requests were answered", right.Load(), count)
	}
	res, err := client.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(res.Body)
	res.Body.Close()
	for _, want := range []string{fmt.Sprintf(`convgrad_requests_total{code="200"} %g`, float64(count)), "convgrad_requests_underway 0\n", "convgrad_pictures_waiting 0\n"} {
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("the metrics lack %q (%v)", want, err)
		}
	}
	client.CloseIdleConnections()
	if err := stop(); err != nil {
		t.Error(err)
	}
	if now := goroutines(before); now > before {
		t.Errorf("%d goroutines, %d before", now, before)
	}
}

// TestStop: requests that are under way when the server is to stop are answered.
func TestStop(t *testing.T) {
	file, _, class := picturePNG(t, 4)
	url, stop := listen(t, Options{})
	// The body comes in two halves, with the stop between them.
	from, to := io.Pipe()
	got := make(chan error, 1)
	go func() {
		res, err := http.Post(url+"/predict", "image/png", from)
		if err != nil {
			got <- err
			return
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err == nil && !strings.Contains(string(b), `"predictions":[{"class":"`+class+`"`) {
			err = fmt.Errorf("code %d, %q", res.StatusCode, b)
		}
		got <- err
	}()
	if _, err := to.Write(file[:100]); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond) // the request reaches the server
	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	for {
		c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			break // it takes no more requests
		}
		c.Close()
		time.Sleep(time.Millisecond)
	}
	if _, err := to.Write(file[100:]); err != nil {
		t.Fatal(err)
	}
	to.Close()
	if err := <-got; err != nil {
		t.Errorf("the request under way: %v", err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestSlow: a client that sends nothing more is dropped, and one that does not end its request does
// not hold the server up.
func TestSlow(t *testing.T) {
	before := runtime.NumGoroutine()
	url, stop := listen(t, Options{Timeout: 200 * time.Millisecond, Grace: 300 * time.Millisecond})
	for _, text := range []string{"", "POST /pre", "POST /predict HTTP/1.1\r\nHost: x\r\n", "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc"} {
		c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		c.SetReadDeadline(start.Add(5 * time.Second))
		if _, err := io.ReadAll(c); err != nil {
			t.Errorf("%q: the connection is open after %v: %v", text, time.Since(start), err)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if now := goroutines(before); now > before {
		t.Errorf("%d goroutines, %d before", now, before)
	}
}

// TestMemory: pictures that are small as files and large when decoded, many at once, take no more
// than the limit on what is decoded at a time.
func TestMemory(t *testing.T) {
	if os.Getenv("CONVGRAD_LOAD") == "" {
		t.Skip("decodes 16 pictures of 16 megapixels, where CONVGRAD_LOAD is set")
	}
	big := encodePNG(t, image.NewGray(image.Rect(0, 0, 4000, 4000)))
	s := newServer(t, Options{})
	var peak atomic.Uint64
	done := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(2 * time.Millisecond):
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				peak.Store(max(peak.Load(), m.HeapInuse))
			}
		}
	})
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if code, _, problem := ask(t, s, "", "image/png", big); code != http.StatusOK {
				t.Errorf("code %d, %s", code, problem)
			}
		})
	}
	wg.Wait()
	close(done)
	watch.Wait()
	// Each picture decodes to 16 MB; four are decoded at a time, and as much may wait for the
	// collector.
	if most := uint64(300 << 20); peak.Load() > most {
		t.Errorf("%d files of %d bytes took %d MB, want at most %d", 16, len(big), peak.Load()>>20, most>>20)
	}
	t.Logf("the heap had %d MB at most", peak.Load()>>20)
}

// FuzzPredict: a body holds pictures of the network's size, or is refused with a code that is
// documented. It stops before the network, whose goroutines would make the coverage vary.
func FuzzPredict(f *testing.F) {
	file, _, _ := picturePNG(f, 0)
	f.Add("image/png", file)
	f.Add("application/json", fmt.Appendf(nil, `{"image":%q}`, base64.StdEncoding.EncodeToString(file)))
	f.Add("application/json", []byte(`{"pixels":[`+strings.Repeat("0,", 783)+`0]}`))
	f.Add("multipart/form-data; boundary=x", append(append([]byte("--x\r\nContent-Disposition: form-data; name=a\r\n\r\n"), file...), "\r\n--x--\r\n"...))
	f.Add("image/gif", []byte("GIF89a\xff\xff\xff\xff\x80"))
	f.Add("image/bmp", []byte("BM"))
	f.Add("image/webp", []byte("RIFF\x10\x00\x00\x00WEBPVP8 "))
	s := newServer(f, Options{MaxBytes: 1 << 16, MaxPixels: 1 << 16})
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		kind, params, err := mime.ParseMediaType(contentType)
		if err != nil {
			return
		}
		pictures, err := s.pictures(kind, params["boundary"], body)
		var refused refusal
		switch {
		case err == nil && len(pictures) > 0 && len(pictures) <= 64:
			for _, p := range pictures {
				if len(p) != 28*28 {
					t.Errorf("a picture of %d bytes", len(p))
				}
			}
		case !errors.As(err, &refused) || refused.code != 400 && refused.code != 413 && refused.code != 415 || refused.text == "":
			t.Errorf("%d pictures, %v", len(pictures), err)
		}
	})
}
