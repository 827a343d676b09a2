package modeltest_test

import (
	"fmt"

	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/model"
	"github.com/convgrad/convgrad/model/modeltest"
	"github.com/convgrad/convgrad/ops"
)

// A test calls Check with its *testing.T; outside of a test, Case gives what it checks.
func Example() {
	net, err := model.New(model.Sequential{
		model.Conv2D{Filters: 2, Size: ops.Both(3)}, model.ReLU{}, model.Flatten{}, model.Linear{Outputs: 3},
	}, tensor.Shape{1, 4, 5}, model.Options{Seed: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := modeltest.Case(net, model.CrossEntropy{}, 2)
	if err != nil {
		fmt.Println(err)
		return
	}
	report, err := c.Check()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("failed:", report.Failed())
	// Output:
	// failed: false
}
