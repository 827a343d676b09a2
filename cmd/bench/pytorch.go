package main

import (
	"bufio"
	"bytes"
	_ "embed"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/pkg/errors"

	"github.com/convgrad/convgrad/internal/kernel"
)

//go:embed clock.py
var clockScript string

//go:embed pytorch.py
var pytorchScript string

//go:embed openblas.py
var openblasScript string

// A peer is a library of Python's that measures what it is asked to, one question at a time, so that it and we can take turns.
type peer struct {
	Name   string // its version, or the core that it uses
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr bytes.Buffer
}

// A question asks for the time of one call: the processor time on one thread, or the elapsed time on more.
type question struct {
	What         string // "convolution", "map" or "step"
	Size         []int
	Which        int // direction of the convolution, or number of the map
	ChannelsLast bool
	Threads      int
	CPU          bool
	Seconds      float64 // to measure for
}

// newPeer starts a script. The C library's allocator is told to keep what is freed: with its defaults PyTorch spends up to two thirds of its
// time on page faults, and would be beaten too cheaply. OpenBLAS, for itself and under PyTorch, is told to use its AVX-512 core where ours does: it would choose AVX2 on recent processors.
func newPeer(script string) (*peer, error) {
	name := "python3"
	if _, err := os.Stat("/usr/bin/python3"); err == nil {
		name = "/usr/bin/python3" // the system's, where its packages are
	}
	p := &peer{cmd: exec.Command(name, "-c", clockScript+script)}
	p.cmd.Env = append(os.Environ(), "MALLOC_MMAP_THRESHOLD_=4294967296", "MALLOC_TRIM_THRESHOLD_=4294967296", "MALLOC_TOP_PAD_=268435456")
	if kernel.CurrentTier() == kernel.AVX512 {
		p.cmd.Env = append(p.cmd.Env, "OPENBLAS_CORETYPE=SkylakeX")
	}
	// Where Debian keeps a libblas.so.3 that is OpenBLAS, so that PyTorch's products are made by it.
	if dirs, _ := filepath.Glob("/usr/lib/*/openblas-pthread"); len(dirs) > 0 {
		p.cmd.Env = append(p.cmd.Env, "LD_LIBRARY_PATH="+dirs[0])
	}
	p.cmd.Stderr = &p.stderr
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, errors.Wrap(err, "bench")
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, errors.Wrap(err, "bench")
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Wrap(err, "bench")
	}
	if err := p.read(p); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// read reads a line of the script's into res.
func (p *peer) read(res any) error {
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		p.cmd.Wait()
		return errors.Wrapf(err, "bench: python3: %s", bytes.TrimSpace(p.stderr.Bytes()))
	}
	return errors.Wrapf(json.Unmarshal(line, res), "bench: python3 wrote %q", line)
}

// ask measures.
func (p *peer) ask(q question) (time.Duration, error) {
	text, err := json.Marshal(q)
	if err != nil {
		return 0, errors.Wrap(err, "bench")
	}
	if _, err := p.in.Write(append(text, '\n')); err != nil {
		return 0, errors.Wrapf(err, "bench: python3: %s", bytes.TrimSpace(p.stderr.Bytes()))
	}
	var res struct{ Seconds float64 }
	if err := p.read(&res); err != nil {
		return 0, err
	}
	if !(res.Seconds > 0) {
		return 0, errors.Errorf("bench: python3 measured %v s", res.Seconds)
	}
	// Its threads spin for a while before they sleep; so long nothing of ours is measured.
	time.Sleep(5 * time.Millisecond)
	return time.Duration(res.Seconds * 1e9), nil
}

func (p *peer) close() {
	if p != nil {
		p.in.Close()
		p.cmd.Wait()
	}
}
