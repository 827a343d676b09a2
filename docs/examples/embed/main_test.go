package main

import (
	"fmt"
	"image"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/convgrad/convgrad/train/data"
)

// The program, built and alone in a directory, reads digits that were not trained on.
func TestEmbed(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "embed.exe")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	const seed, digits = 71, 40
	_, unseen, err := data.Digits(1, digits, seed) // not normalised
	if err != nil {
		t.Fatal(err)
	}
	x := make([]float32, 28*28)
	labels, args := make([]int, digits), make([]string, digits)
	for i := range labels {
		target, err := unseen.Read(i, x)
		if err != nil {
			t.Fatal(err)
		}
		labels[i] = target.Class
		picture := image.NewGray(image.Rect(0, 0, 28, 28))
		for k, v := range x {
			picture.Pix[k] = uint8(255*v + 0.5)
		}
		args[i] = filepath.Join(dir, fmt.Sprintf("%d.png", i))
		file, err := os.Create(args[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := png.Encode(file, picture); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	run := exec.Command(program, args...)
	run.Dir = dir
	out, err := run.Output()
	if err != nil {
		t.Fatal(err)
	}
	says := regexp.MustCompile(`(?m)^.*: (\d) \(.* %\), or else \d \(.* %\)$`).FindAllSubmatch(out, -1)
	if len(says) != digits {
		t.Fatalf("it says %s", out)
	}
	right := 0
	for i, s := range says {
		if string(s[1]) == fmt.Sprint(labels[i]) {
			right++
		}
	}
	// Weights that were not loaded read one in ten; 4 ± 2 of these.
	if t.Logf("seed %d: %d of %d are right", seed, right, digits); right < 34 {
		t.Errorf("seed %d: %d of %d digits are read right, want at least 34", seed, right, digits)
	}
	if err := exec.Command(program, filepath.Join(dir, "none.png")).Run(); err == nil {
		t.Error("a picture that is not there is no error")
	}
}
