package suite

import (
	"fmt"

	"github.com/convgrad/convgrad/ops"
)

// WorstText is the worst error as a share of its bound, or "equal" where equality was asked for and
// found.
func (r Row) WorstText() string {
	if r.Equality {
		return "equal"
	}
	if r.Worst < 0.0005 {
		return "<0.001"
	}
	return fmt.Sprintf("%.3f", r.Worst)
}

// Verdict is ok or FAILED.
func (r Row) Verdict() string { return verdict(r.Passed()) }

// CasesText is the number of cases, and of those that failed.
func (r Row) CasesText() string {
	if r.Failed > 0 {
		return fmt.Sprintf("%d, %d failed", r.Cases, r.Failed)
	}
	return fmt.Sprint(r.Cases)
}

// CaughtText says in which case the mistake was caught, or that it survived.
func (k Kill) CaughtText() string {
	if k.Caught {
		return fmt.Sprintf("yes, case %d", k.Cases)
	}
	return "SURVIVED"
}

func verdict(ok bool) string {
	if ok {
		return "ok"
	}
	return "FAILED"
}

// Tier is the code path that the kernels take on this machine.
func Tier() string { return ops.Tier() }
