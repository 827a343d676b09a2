#!/bin/sh
# session.sh: the notebooks' first cell runs it in the directory in which the kernel compiles the cells. It writes a go.mod there with this module's
# versions, the project itself and this module taken from the checkout that the notebook lies in.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
cp "$root/notebooks/go.mod" go.mod
cp "$root/notebooks/go.sum" go.sum
go mod edit -module=session \
  -require=github.com/convgrad/convgrad/notebooks@v0.0.0 \
  -replace=github.com/convgrad/convgrad/notebooks="$root/notebooks" \
  -replace=github.com/convgrad/convgrad="$root"
