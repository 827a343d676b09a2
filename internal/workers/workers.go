package workers

import (
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pkg/errors"
)

// maxThreads bounds the goroutines that a wild number can start.
const maxThreads = 1024

var (
	threads    atomic.Int64
	threadsErr error
)

func init() {
	n, err := parseThreads(os.Getenv("CONVGRAD_THREADS"))
	threadsErr = err
	SetThreads(n)
}

// parseThreads reads CONVGRAD_THREADS; "" and what it refuses ask for one thread per core.
func parseThreads(s string) (int, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > maxThreads {
		return 0, errors.Errorf("workers: CONVGRAD_THREADS is %q, want a number from 1 to %d: using one thread per core, %d", s, maxThreads, runtime.GOMAXPROCS(0))
	}
	return n, nil
}

// ThreadsError says what was wrong with the environment variable CONVGRAD_THREADS, or is nil. A bad
// value is otherwise ignored; commands report it.
func ThreadsError() error { return threadsErr }

// Threads is the number of threads that kernels use: one per core, unless CONVGRAD_THREADS or
// SetThreads names another.
func Threads() int { return int(threads.Load()) }

// SetThreads sets it and returns what it was; n < 1 asks for one per core, and no more than 1024
// are ever used. Results are the same bits at any number.
func SetThreads(n int) int {
	if n < 1 {
		n = runtime.GOMAXPROCS(0)
	}
	return int(threads.Swap(int64(min(n, maxThreads))))
}

// parallel calls task(i, worker) once for each i in [0, tasks), on at most Threads() workers
// numbered from 0. Which worker takes which task is not fixed; what a task computes must not depend
// on it. worker indexes scratch: no two tasks run on one worker at a time within a call.
//
// Each worker begins with a share of neighbouring tasks of its own, the same in every call of as
// many tasks, so that it finds in its core's cache what it left there in the call before: the next
// kernel of a graph reads what this one wrote. A worker that is done helps the others.
//
// The caller is worker 0 and the others are persistent goroutines that happen to be idle, so calls
// may be nested and may come from any number of goroutines: a call never waits for a helper that
// has not yet begun to work for it. A panic in a task reaches the caller once the others have
// stopped.
func Run(tasks int, task func(i, worker int)) {
	n := min(Threads(), tasks)
	if n <= 1 {
		for i := range tasks {
			task(i, 0)
		}
		return
	}
	j := jobs.Get().(*job)
	j.task = task
	j.split(tasks, n)
	j.running.Store(1)
	hs := atLeast(n - 1)
	asked := 0
	for k := 0; k < len(hs) && asked < n-1; k++ {
		if hs[k].offer(&j.shares[asked+1]) {
			asked++
		}
	}
	j.work(0)
	if asked > 0 {
		for _, h := range hs {
			h.retract(j)
		}
		j.wait()
	}
	failure := j.failure
	j.task, j.failure = nil, nil
	jobs.Put(j)
	if failure != nil {
		panic(*failure)
	}
}

// A job is one call of parallel.
type job struct {
	task    func(i, worker int)
	shares  []share       // one for each worker
	done    chan struct{} // sent to once, by the last helper, if the caller sleeps
	mu      sync.Mutex
	failure *any // the first panic
	_       [64]byte
	running atomic.Int64 // the caller, until it sleeps, and the helpers that hold the job
}

// A share is the tasks that one worker begins with. It is written for every task, so no two are on
// one cache line.
type share struct {
	next atomic.Int64 // the first task that nobody has taken
	end  int64
	job  *job
	// worker is its number, and the share's.
	worker int
	_      [128 - 32]byte
}

var jobs = sync.Pool{New: func() any { return &job{done: make(chan struct{}, 1)} }}

// split makes n shares of the tasks.
func (j *job) split(tasks, n int) {
	if cap(j.shares) < n {
		j.shares = make([]share, n)
		for w := range j.shares {
			// not written again: a helper may look at a share that was taken back
			j.shares[w].job, j.shares[w].worker = j, w
		}
	}
	j.shares = j.shares[:n]
	for w := range j.shares {
		j.shares[w].next.Store(int64(tasks * w / n))
		j.shares[w].end = int64(tasks * (w + 1) / n)
	}
}

// work takes tasks until none is left, those of the worker's own share first.
func (j *job) work(worker int) {
	defer func() {
		if r := recover(); r != nil {
			for w := range j.shares {
				j.shares[w].next.Store(j.shares[w].end) // no new task begins
			}
			j.mu.Lock()
			if j.failure == nil {
				j.failure = &r
			}
			j.mu.Unlock()
		}
	}()
	for k := range j.shares {
		s := &j.shares[(worker+k)%len(j.shares)]
		for s.next.Load() < s.end {
			i := s.next.Add(1) - 1
			if i >= s.end {
				break
			}
			j.task(int(i), worker)
		}
	}
}

// wait returns when no helper holds the job.
func (j *job) wait() {
	if spin(func() bool { return j.running.Load() == 1 }) {
		return
	}
	if j.running.Add(-1) != 0 {
		<-j.done
	}
}

// release is a helper's last touch of a job.
func (j *job) release() {
	if j.running.Add(-1) == 0 {
		j.done <- struct{}{}
	}
}

// A helper is a persistent goroutine that works for whoever posts it a job.
type helper struct {
	post   atomic.Pointer[share] // nil: idle; busy: at work; else a share that it has not taken yet
	parked atomic.Bool
	wake   chan struct{}
	spins  bool
	_      [64]byte
}

// busy stands for whatever share a helper has taken.
var busy = new(share)

var (
	helpersMu sync.Mutex
	helpers   atomic.Pointer[[]*helper]
)

// atLeast returns n helpers or more, and starts those that are missing.
func atLeast(n int) []*helper {
	if p := helpers.Load(); p != nil && len(*p) >= n {
		return *p
	}
	helpersMu.Lock()
	defer helpersMu.Unlock()
	var hs []*helper
	if p := helpers.Load(); p != nil {
		hs = append(hs, *p...)
	}
	for len(hs) < n {
		// A helper beyond the number of cores would burn what another one works with.
		h := &helper{wake: make(chan struct{}, 1), spins: len(hs)+1 < runtime.GOMAXPROCS(0)}
		hs = append(hs, h)
		go h.run()
	}
	helpers.Store(&hs)
	return hs
}

// offer posts a share if the helper is idle.
func (h *helper) offer(s *share) bool {
	if h.post.Load() != nil {
		return false
	}
	s.job.running.Add(1)
	if !h.post.CompareAndSwap(nil, s) {
		s.job.running.Add(-1)
		return false
	}
	if h.parked.CompareAndSwap(true, false) {
		h.wake <- struct{}{}
	}
	return true
}

// retract takes a share of j back if the helper has not begun.
func (h *helper) retract(j *job) {
	if s := h.post.Load(); s != nil && s.job == j && h.post.CompareAndSwap(s, nil) {
		j.running.Add(-1)
	}
}

func (h *helper) run() {
	posted := func() bool { return h.post.Load() != nil }
	for {
		if !(h.spins && spin(posted)) {
			h.parked.Store(true)
			// Whoever posts from here on sees the flag; a job posted before is seen here.
			if !posted() || !h.parked.CompareAndSwap(true, false) {
				<-h.wake
			}
		}
		if s := h.post.Load(); s != nil && h.post.CompareAndSwap(s, busy) {
			j := s.job
			j.work(s.worker)
			// idle before the caller goes on, so that its next call finds this helper
			h.post.Store(nil)
			j.release()
		}
	}
}

// spinFor is how long a worker burns its core before it sleeps. Waking a sleeping thread takes 70
// to 125 µs where the core idles, more than many kernels take; the gap between two kernels of a
// graph is mostly shorter than this.
const spinFor = 60 * time.Microsecond

// spin reports whether ready became true within spinFor.
func spin(ready func() bool) bool {
	var start time.Time
	for round := 0; ; round++ {
		for range 256 {
			if ready() {
				return true
			}
		}
		switch {
		case round == 0:
			start = time.Now()
		case time.Since(start) > spinFor:
			return false
		}
		runtime.Gosched() // let goroutines that wait for this core have it
	}
}

// spans calls f(lo, hi) for consecutive spans of [0, n), each of size elements but the last, in
// parallel where there are several.
func Spans(n, size int, f func(lo, hi int)) {
	if n <= size {
		f(0, n)
		return
	}
	Run((n+size-1)/size, func(i, _ int) { f(i*size, min(n, (i+1)*size)) })
}

// Chunk is what one core does of an elementwise kernel before others are asked to help: it streams
// that in several microseconds.
const Chunk = 1 << 15

// sweep is spans for an elementwise kernel over n elements. Its spans are short and nearly equal,
// so that two or four workers end at about the same time, and whole cache lines.
func Sweep(n int, f func(lo, hi int)) {
	if n <= Chunk {
		f(0, n)
		return
	}
	pieces := 4 * ((n + Chunk - 1) / Chunk)
	const line = 16
	Spans(n, ((n+pieces-1)/pieces+line-1)/line*line, f)
}

// Each calls f for every t in [0, n), batch of them to a task, in parallel unless small.
func Each(small bool, n, batch int, f func(t int)) {
	if small {
		for t := range n {
			f(t)
		}
		return
	}
	Spans(n, batch, func(lo, hi int) {
		for t := lo; t < hi; t++ {
			f(t)
		}
	})
}
