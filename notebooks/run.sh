#!/bin/sh
# run.sh: executes all notebooks headless and writes them with their outputs; fails if a cell fails. It needs Go, and on a Debian machine installs the rest.
#
#	./run.sh            execute all and write *.ipynb
#	./run.sh 02 04      only those
#	./run.sh -check     execute all and compare with the committed outputs, except for cells tagged "varies"; writes nothing
#	./run.sh -html DIR  also render them to HTML
set -eu
cd "$(dirname "$0")"

# Debian's packages: jupyter runs the notebooks, dot draws graphs.
missing=""
command -v jupyter-nbconvert >/dev/null || missing="$missing jupyter-nbconvert"
command -v dot >/dev/null || missing="$missing graphviz"
if [ -n "$missing" ]; then
  sudo=""; [ "$(id -u)" = 0 ] || sudo=sudo
  $sudo apt-get update -qq
  # shellcheck disable=SC2086 # a list of words
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

# The kernel and its goimports at the versions of go.mod, in a directory of their own.
tools=$PWD/.tools
mkdir -p "$tools"
GOBIN=$tools/bin go install tool
export PATH="$tools/bin:$PATH" JUPYTER_DATA_DIR="$tools/jupyter"
gonb --install --force_deps >"$tools/install.log" 2>&1 || { cat "$tools/install.log" >&2; exit 1; }

# What is committed must follow its source before it is worth executing.
case " $* " in *" -check "*) go test -count=1 ./... ;; esac

# The plain Go kernels, so that every machine computes the same bits whatever its vector units.
export CONVGRAD_TIER=generic
exec go run ./cmd/nb "$@"
