#!/bin/sh
# session.sh: the notebooks' first cell runs it in the directory in which the kernel compiles the cells. It writes a go.mod there with this module's
# versions, the project itself and this module taken from the checkout that the notebook lies in, by way of a link, so that its path may hold any character.
set -eu
ln -sfn "$(cd "$(dirname "$0")/.." && pwd)" checkout
cp checkout/notebooks/go.mod checkout/notebooks/go.sum .
go mod edit -module=session \
  -require=github.com/convgrad/convgrad/notebooks@v0.0.0 \
  -replace=github.com/convgrad/convgrad/notebooks=./checkout/notebooks \
  -replace=github.com/convgrad/convgrad=./checkout
