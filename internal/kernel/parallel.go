package kernel

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
		return 0, errors.Errorf("kernel: CONVGRAD_THREADS is %q, want a number from 1 to %d: using one thread per core, %d", s, maxThreads, runtime.GOMAXPROCS(0))
	}
	return n, nil
}

// ThreadsError says what was wrong with the environment variable CONVGRAD_THREADS, or is nil. A bad value is otherwise ignored; commands report it.
func ThreadsError() error { return threadsErr }

// Threads is the number of threads that kernels use: one per core, unless CONVGRAD_THREADS or SetThreads names another.
func Threads() int { return int(threads.Load()) }

// SetThreads sets it and returns what it was; n < 1 asks for one per core, and no more than 1024 are ever used. Results are the same bits at any number.
func SetThreads(n int) int {
	if n < 1 {
		n = runtime.GOMAXPROCS(0)
	}
	return int(threads.Swap(int64(min(n, maxThreads))))
}

// parallel calls task(i, worker) once for each i in [0, tasks), on at most Threads() workers numbered from 0. Which worker takes which task is not fixed; what a task
// computes must not depend on it. worker indexes scratch: no two tasks run on one worker at a time within a call.
//
// The caller is worker 0 and the others are persistent goroutines that happen to be idle, so calls may be nested and may come from any number of goroutines: a
// call never waits for a helper that has not yet begun to work for it. A panic in a task reaches the caller once the others have stopped.
func parallel(tasks int, task func(i, worker int)) {
	n := min(Threads(), tasks)
	if n <= 1 {
		for i := range tasks {
			task(i, 0)
		}
		return
	}
	j := jobs.Get().(*job)
	j.task, j.tasks = task, int64(tasks)
	j.next.Store(0)
	j.workers.Store(0)
	j.running.Store(1)
	hs := atLeast(n - 1)
	asked := 0
	for k := 0; k < len(hs) && asked < n-1; k++ {
		if hs[k].offer(j) {
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
	tasks   int64
	done    chan struct{} // sent to once, by the last helper, if the caller sleeps
	mu      sync.Mutex
	failure *any // the first panic

	_       [64]byte // next is written for every task; what is only read stays off its cache line
	next    atomic.Int64
	_       [56]byte
	workers atomic.Int64 // workers other than the caller that have begun
	running atomic.Int64 // the caller, until it sleeps, and the helpers that hold the job
}

var jobs = sync.Pool{New: func() any { return &job{done: make(chan struct{}, 1)} }}

// work takes tasks until none is left.
func (j *job) work(worker int) {
	defer func() {
		if r := recover(); r != nil {
			j.next.Store(j.tasks) // no new task begins
			j.mu.Lock()
			if j.failure == nil {
				j.failure = &r
			}
			j.mu.Unlock()
		}
	}()
	for i := j.next.Add(1) - 1; i < j.tasks; i = j.next.Add(1) - 1 {
		j.task(int(i), worker)
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
	post   atomic.Pointer[job] // nil: idle; busy: at work; else a job that it has not taken yet
	parked atomic.Bool
	wake   chan struct{}
	spins  bool
	_      [64]byte
}

// busy stands for whatever job a helper has taken.
var busy = new(job)

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

// offer posts j if the helper is idle.
func (h *helper) offer(j *job) bool {
	if h.post.Load() != nil {
		return false
	}
	j.running.Add(1)
	if !h.post.CompareAndSwap(nil, j) {
		j.running.Add(-1)
		return false
	}
	if h.parked.CompareAndSwap(true, false) {
		h.wake <- struct{}{}
	}
	return true
}

// retract takes j back if the helper has not begun.
func (h *helper) retract(j *job) {
	if h.post.Load() == j && h.post.CompareAndSwap(j, nil) {
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
		if j := h.post.Load(); j != nil && h.post.CompareAndSwap(j, busy) {
			j.work(int(j.workers.Add(1)))
			h.post.Store(nil) // idle before the caller goes on, so that its next call finds this helper
			j.release()
		}
	}
}

// spinFor is how long a worker burns its core before it sleeps. Waking a sleeping thread takes 70 to 125 µs where the core idles, more than many kernels take; the gap
// between two kernels of a graph is mostly shorter than this.
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

// spans calls f(lo, hi) for consecutive spans of [0, n), each of size elements but the last, in parallel where there are several.
func spans(n, size int, f func(lo, hi int)) {
	if n <= size {
		f(0, n)
		return
	}
	parallel((n+size-1)/size, func(i, _ int) { f(i*size, min(n, (i+1)*size)) })
}

// chunk is the span of elementwise kernels: what a core streams in several microseconds, so that handing it out costs little.
const chunk = 1 << 15
