package safetensors_test

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/convgrad/convgrad/internal/safetensors"
)

// What is no file is not replaced by one, not even through a link, and nothing is left beside it.
func TestWholeFileReplacesFilesOnly(t *testing.T) {
	dir, err := os.MkdirTemp("", "w") // a socket's path has to be short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket, link, folder := filepath.Join(dir, "s"), filepath.Join(dir, "link"), filepath.Join(dir, "folder")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Skip("there are no sockets in directories: ", err)
	}
	defer l.Close()
	if err := os.Symlink(socket, link); err != nil {
		t.Skip(err)
	}
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{socket, link, folder, ""} {
		err := safetensors.WholeFile(path, func(io.Writer) error { t.Errorf("%q is written to", path); return nil })
		if err == nil || !strings.Contains(err.Error(), "want") {
			t.Errorf("%q gave %v, want an error that says what is wanted", path, err)
		}
	}
	if info, err := os.Lstat(socket); err != nil || info.Mode()&os.ModeSocket == 0 {
		t.Errorf("the socket is now %v, %v", info, err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 3 {
		t.Errorf("the directory has %v, %v, want the three things that were there", left, err)
	}
	file := filepath.Join(dir, "file")
	for _, text := range []string{"one", "two"} {
		if err := safetensors.WholeFile(file, func(w io.Writer) error { _, err := io.WriteString(w, text); return err }); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != text {
			t.Errorf("the file has %q, %v, want %q", got, err, text)
		}
	}
}
