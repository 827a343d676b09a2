package main

import (
	"bufio"
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
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

// A peer is a library of Python's. It answers one question at a time, so that it and we take turns.
type peer struct {
	peerName
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr bytes.Buffer
}

// A peerName is what a script says of itself before it answers questions.
type peerName struct {
	Name    string // the library's version, or the processor core that it is tuned for
	Python  string // Python's version
	Path    string // the interpreter that runs the script
	Missing string // why the library cannot be used; empty if it can
}

func (n peerName) String() string {
	return fmt.Sprintf("%s, Python %s at %s", n.Name, n.Python, n.Path)
}

// A question asks for the time of one call: processor time on one thread, elapsed time on more.
type question struct {
	What         string // "convolution", "map", "step" or "op"
	Size         []int
	Which        int // direction of the convolution, or number of the map
	ChannelsLast bool
	Threads      int
	CPU          bool
	Seconds      float64 // to measure for

	Expression string      `json:",omitempty"` // of an op, of operands by their names
	Operands   []operandOf `json:",omitempty"`
}

// An operandOf is an operand of an expression.
type operandOf struct {
	Name    string
	Shape   []int
	Integer bool
}

// newPeer runs a script with the first python3 of PATH. It returns an error of one line if there is
// no such program or if it does not have the library.
//
// The script's environment helps the peer to do its best. The C library keeps freed memory: with
// its defaults PyTorch spends up to two thirds of its time on page faults. OpenBLAS uses AVX-512
// where our kernels do: by itself it chooses AVX2 on recent processors.
func newPeer(script string) (*peer, error) {
	name, err := exec.LookPath("python3")
	if err != nil {
		return nil, errors.New("there is no python3 in PATH")
	}
	p := &peer{cmd: exec.Command(name, "-c", clockScript+script)}
	p.cmd.Env = append(os.Environ(), "MALLOC_MMAP_THRESHOLD_=4294967296",
		"MALLOC_TRIM_THRESHOLD_=4294967296", "MALLOC_TOP_PAD_=268435456")
	if kernel.CurrentTier() == kernel.AVX512 {
		p.cmd.Env = append(p.cmd.Env, "OPENBLAS_CORETYPE=SkylakeX")
	}
	// Debian keeps a libblas.so.3 that is OpenBLAS here. Its PyTorch then multiplies with OpenBLAS.
	if dirs, _ := filepath.Glob("/usr/lib/*/openblas-pthread"); len(dirs) > 0 {
		p.cmd.Env = append(p.cmd.Env, "LD_LIBRARY_PATH="+dirs[0])
	}
	p.cmd.Stderr = &p.stderr
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
	if err := p.read(&p.peerName); err != nil {
		p.close()
		return nil, err
	}
	if p.Missing != "" {
		p.close()
		return nil, errors.Errorf("%s has none: %s", name, p.Missing)
	}
	return p, nil
}

// read reads a line of the script's into res.
func (p *peer) read(res any) error {
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		p.cmd.Wait()
		return errors.Wrapf(err, "bench: python3 wrote no answer (%s)", lastLine(p.stderr.Bytes()))
	}
	return errors.Wrapf(json.Unmarshal(line, res), "bench: python3 wrote %q", line)
}

// lastLine is the last line of a text: of Python's tracebacks, the one that says what was wrong.
func lastLine(text []byte) []byte {
	text = bytes.TrimSpace(text)
	return text[bytes.LastIndexByte(text, '\n')+1:]
}

// A missingError says why a peer cannot do what was asked, where that is no failure: a package or a
// compiler that is not installed.
type missingError string

func (e missingError) Error() string { return string(e) }

// ask measures. The error is a missingError if the peer lacks what the question needs.
func (p *peer) ask(q question) (time.Duration, error) {
	text, err := json.Marshal(q)
	if err != nil {
		return 0, errors.Wrap(err, "bench")
	}
	if _, err := p.in.Write(append(text, '\n')); err != nil {
		return 0, errors.Wrapf(err, "bench: python3 (%s)", lastLine(p.stderr.Bytes()))
	}
	var res struct {
		Seconds float64
		Missing string
	}
	if err := p.read(&res); err != nil {
		return 0, err
	}
	if res.Missing != "" {
		return 0, missingError(res.Missing)
	}
	if !(res.Seconds > 0) {
		return 0, errors.Errorf("bench: python3 measured %v s", res.Seconds)
	}
	// The peer's threads spin for a while before they sleep. Nothing of ours is measured meanwhile.
	time.Sleep(5 * time.Millisecond)
	return time.Duration(res.Seconds * 1e9), nil
}

// faster measures in both layouts, if there are two, and returns the shorter time.
func (p *peer) faster(q question, layouts bool) (time.Duration, error) {
	plain, err := p.ask(q)
	if err != nil || !layouts {
		return plain, err
	}
	q.ChannelsLast = true
	last, err := p.ask(q)
	return min(plain, last), err
}

func (p *peer) close() {
	if p != nil {
		p.in.Close()
		p.cmd.Wait()
	}
}
