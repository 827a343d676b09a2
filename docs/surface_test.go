package docs_test

import (
	"path/filepath"
	"testing"
)

// caps are the most names that a package may export: a small surface can be learned, and kept.
var caps = map[string]int{
	"ops": 120, "ops/vm": 60, "ops/blas": 60, "ops/nn": 60, "model": 60, "train": 60, "train/data": 60,
	"verify": 60,
}

func TestSurfaceIsSmall(t *testing.T) {
	for dir, most := range caps {
		n := len(exported(t, filepath.Join("..", dir)))
		t.Logf("%s exports %d names", dir, n)
		if n > most {
			t.Errorf("%s exports %d names, want at most %d", dir, n, most)
		}
	}
}
