package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/image/bmp"

	"github.com/convgrad/convgrad/internal/report"
	"github.com/convgrad/convgrad/internal/serve"
	"github.com/convgrad/convgrad/model"
	"github.com/convgrad/convgrad/train"
)

// shapes writes a folder of pictures as people have them: three classes, told by their colour, in
// mixed sizes and formats, with names of blanks and accents; and among them a file cut short, a
// text file, an empty class, and a picture that claims 30,000 pixels a side.
func shapes(t *testing.T) string {
	t.Helper()
	const seed = 5
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	dir := filepath.Join(t.TempDir(), "Mes images")
	write := func(class, name string, b []byte) {
		if err := os.MkdirAll(filepath.Join(dir, class), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, class, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for class, c := range map[string][3]int{"rouge foncé": {180, 20, 30}, "grün": {30, 170, 40}, "azul": {40, 60, 200}} {
		for i := range 12 {
			img := image.NewRGBA(image.Rect(0, 0, 9+r.IntN(30), 8+r.IntN(30)))
			for y := range img.Rect.Dy() {
				for x := range img.Rect.Dx() {
					v := func(k int) uint8 { return uint8(min(max(c[k]+r.IntN(40)-20, 0), 255)) }
					img.Set(x, y, color.RGBA{v(0), v(1), v(2), 255})
				}
			}
			var b bytes.Buffer
			var err error
			name := class + " " + string(rune('a'+i))
			switch i % 3 {
			case 0:
				err = png.Encode(&b, img)
				name += ".png"
			case 1:
				err = jpeg.Encode(&b, img, nil)
				name += ".JPG"
			case 2:
				err = gif.Encode(&b, img, nil)
				name += ".gif"
			}
			switch {
			case i == 11:
				b.Reset()
				err = bmp.Encode(&b, img)
				name = class + ".bmp"
			case i == 10 && class == "rouge foncé": // there is no encoder
				b.Reset()
				_, err = b.Write(redWebP)
				name = class + ".webp"
			}
			if err != nil {
				t.Fatal(err)
			}
			write(class, name, b.Bytes())
			if class == "azul" && i == 0 {
				write(class, "cut short.png", b.Bytes()[:b.Len()/2])
			}
		}
	}
	write("grün", "notes.txt", []byte("not a picture"))
	write("grün", "huge.png", bomb(30000, 30000))
	if err := os.Mkdir(filepath.Join(dir, "vide"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// redWebP is a red picture of 10×8 pixels.
var redWebP = []byte("RIFF\x1c\x00\x00\x00WEBPVP8L\x0f\x00\x00\x00\x2f\x09\xc0\x01\x00\x07\x10\x45\x8e\xfe\x07\x22\xa2\xff\x01\x00")

// bomb is the beginning of a PNG of that size.
func bomb(w, h uint32) []byte {
	head := append([]byte("IHDR"), 0, 0, 0, 0, 0, 0, 0, 0, 8, 2, 0, 0, 0)
	binary.BigEndian.PutUint32(head[4:], w)
	binary.BigEndian.PutUint32(head[8:], h)
	b := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\r"), head...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(head))
}

// TestVerbs is the life of a run on pictures of one's own.
func TestVerbs(t *testing.T) {
	dir, run := shapes(t), filepath.Join(t.TempDir(), "run")
	status, _, errs := execute(t, "-data", "folder", "-data-dir", dir, "-image-size", "16", "-model", "lenet5", "-batch", "6", "-epochs", "8",
		"-out", run)
	for _, want := range []string{"cut short.png: ", "notes.txt: ", "30000×30000 pixels", "vide: the class has no pictures"} {
		if status != 0 || !strings.Contains(errs, want) {
			t.Fatalf("train: status %d, %q, want %q left out", status, errs, want)
		}
	}
	ok := func(args ...string) string {
		t.Helper()
		status, out, errs := execute(t, args...)
		if status != 0 {
			t.Fatalf("%v: status %d, %q", args, status, errs)
		}
		return out
	}
	ok("resume", run, "-epochs", "9")

	if out := ok("eval", run); !strings.Contains(out, "with best.safetensors on 6 samples of folder (test)") || !strings.Contains(out, "  rouge foncé\n") {
		t.Errorf("eval: %q", out)
	}
	if out := ok("eval", run, "-last"); !strings.Contains(out, "with weights.safetensors on 6 samples") {
		t.Errorf("eval -last: %q", out)
	}
	var e report.Evaluation
	if err := json.Unmarshal([]byte(ok("eval", "-json", run, "-data-dir", dir)), &e); err != nil || e.Samples != 36 || e.Accuracy < 0.9 {
		t.Errorf("eval -json on the whole folder: %d samples, %v right, %v", e.Samples, e.Accuracy, err)
	}

	status, out, errs := execute(t, "predict", run, dir, "-top", "2")
	lines := strings.Split(strings.TrimSpace(errs), "\n")
	if status != 1 || lines[len(lines)-1] != "train: predict: 3 of 39 could not be read" || !strings.Contains(errs, "huge.png: the picture has 30000×30000 pixels") {
		t.Errorf("predict: status %d, %q", status, errs)
	}
	if strings.Count(out, "\n") != 36 || !strings.Contains(out, "azul d.png") {
		t.Errorf("predict: %q", out)
	}
	one := filepath.Join(dir, "azul", "azul d.png")
	var p prediction
	if err := json.Unmarshal([]byte(ok("predict", run, one, "-json")), &p); err != nil || p.File != one || len(p.Guesses) != 3 || p.Guesses[0].Class != "azul" {
		t.Errorf("predict -json: %+v, %v", p, err)
	}
	f, err := os.Open(one)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	stdin := os.Stdin
	os.Stdin = f
	if out := ok("predict", run, "-"); !strings.HasPrefix(out, "-  azul  ") {
		t.Errorf("predict -: %q", out)
	}
	os.Stdin = stdin

	if out := ok("inspect", run); !strings.Contains(out, "conv1") || !strings.Contains(out, "total") || !strings.Contains(out, "image_size      16") || !strings.Contains(out, "epochs          9\n") {
		t.Errorf("inspect: %q", out)
	}
	page := filepath.Join(run, report.File)
	for _, want := range []string{"rouge foncé", "-data=folder", "Mes images&#39;"} {
		if !strings.Contains(readFile(t, page), want) {
			t.Errorf("the run's report does not have %q", want)
		}
	}
	if err := os.Remove(page); err != nil {
		t.Fatal(err)
	}
	ok("report", run)
	readFile(t, page)
	if status, _, errs := execute(t, "report", run, "-o", filepath.Join(run, "config.json")); status != 1 || !strings.Contains(errs, "is there already") {
		t.Errorf("report over the configuration: status %d, %q", status, errs)
	}
	if class := served(t, run, one); class != "azul" {
		t.Errorf("serve says that %s is %q", one, class)
	}
	file := filepath.Join(t.TempDir(), "net.safetensors")
	ok("export", run, "-o", file)
	before := readFile(t, file)
	if status, _, errs := execute(t, "export", run, "-o", file); status != 1 || !strings.Contains(errs, "is there already") || readFile(t, file) != before {
		t.Errorf("export over a file: status %d, %q", status, errs)
	}
	ok("export", run, "-o", file, "-force")
	again, err := model.ByName("lenet5", []int{3, 16, 16}, 3, model.Options{Seed: 9})
	if err == nil {
		err = again.LoadFile(file, model.LoadOptions{})
	}
	if err != nil {
		t.Errorf("what export wrote: %v", err)
	}
	onnx := filepath.Join(t.TempDir(), "net.onnx")
	ok("export", run, "-o", onnx)
	if out := ok("inspect", onnx); !strings.Contains(out, "conv1") || !strings.Contains(out, "input 3×16×16") || !strings.Contains(out, "total") {
		t.Errorf("inspect of ONNX: %q", out)
	}
	if out := ok("inspect", file); !strings.Contains(out, "conv1.weight") || !strings.Contains(out, `classes: ["azul","grün","rouge foncé"]`) {
		t.Errorf("inspect of a file: %q", out)
	}
	if err := os.WriteFile(file, []byte(before[:len(before)-8]), 0o644); err != nil {
		t.Fatal(err)
	}
	if status, _, errs := execute(t, "inspect", file); status != 1 || !strings.Contains(errs, "cut short") {
		t.Errorf("inspect of a file cut short: status %d, %q", status, errs)
	}
}

// served is the class that a server of the run gives a picture, which is posted to it.
func served(t *testing.T, run, file string) string {
	t.Helper()
	r, err := train.OpenRun(run)
	if err != nil {
		t.Fatal(err)
	}
	s, err := serve.New(r, serve.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	res, err := http.Post("http://"+l.Addr().String()+"/predict", "image/png", strings.NewReader(readFile(t, file)))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct {
		Results []struct{ Predictions []struct{ Class string } }
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || len(answer.Results) != 1 || len(answer.Results[0].Predictions) != 3 {
		t.Fatalf("code %d, %+v, %v", res.StatusCode, answer, err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	return answer.Results[0].Predictions[0].Class
}

// TestVerbUsage: each verb explains itself, and says in one line what is wrong.
func TestVerbUsage(t *testing.T) {
	for name := range verbs {
		status, out, errs := execute(t, name, "-h")
		if status != 0 || errs != "" || !strings.HasPrefix(out, "train "+name+" ") || !strings.Contains(out, "Exit codes: 0") {
			t.Errorf("%s -h: status %d, %q, %q", name, status, out, errs)
		}
		if !strings.Contains(usage, "train "+name+" ") {
			t.Errorf("train -h does not name %s", name)
		}
		wrong := [][]string{{name}, {name, "-speed", "9"}}
		if name == "data" { // which lists what there is
			wrong[0] = []string{name, "faces"}
		}
		for _, args := range wrong {
			status, out, errs := execute(t, args...)
			if status != exitUsage || out != "" || strings.Count(errs, "\n") != 1 || !strings.HasPrefix(errs, "train: ") {
				t.Errorf("%v: status %d, %q, %q", args, status, out, errs)
			}
		}
		if name == "data" {
			continue
		}
		nowhere := filepath.Join(t.TempDir(), "nowhere")
		args := []string{name, nowhere}
		switch name {
		case "predict":
			args = append(args, "a.png")
		case "export":
			args = append(args, "-o", filepath.Join(t.TempDir(), "a.safetensors"))
		}
		if status, out, errs := execute(t, args...); status != exitFailed || out != "" || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, nowhere) {
			t.Errorf("%v: status %d, %q, %q", args, status, out, errs)
		}
	}
	if status, _, errs := execute(t, "eval", "--", "-x"); status != exitFailed || !strings.Contains(errs, "-x") {
		t.Errorf("a run named -x: status %d, %q", status, errs)
	}
}

// A checkpoint of PyTorch's is looked into; one of another form is refused by what it is.
func TestInspectCheckpoint(t *testing.T) {
	dir := filepath.Join("..", "..", "internal", "pickle", "testdata")
	for _, name := range []string{"tensors.pt", "legacy.pt"} {
		if status, out, errs := execute(t, "inspect", filepath.Join(dir, name)); status != 0 || !strings.Contains(out, "F32") {
			t.Errorf("%s: status %d, %q, %q", name, status, out, errs)
		}
	}
	if status, _, errs := execute(t, "inspect", filepath.Join(dir, "module.pt")); status != 1 || !strings.Contains(errs, "module.pt") {
		t.Errorf("status %d, %q, want an error that names the file", status, errs)
	}
}
