#!/bin/sh
# run.sh: executes all notebooks headless and writes them with their outputs; fails if a cell fails. It needs Go, and on a Debian machine installs the rest.
#
#	./run.sh            execute all and write *.ipynb
#	./run.sh 02 04      only those
#	./run.sh -check     execute all and compare with the committed outputs, except for cells tagged "varies"; writes nothing
#	./run.sh -html DIR  also render them to HTML
set -eu
cd "$(dirname "$0")"

# Debian's packages: jupyter runs the notebooks, dot draws the graph of notebook 5. Root is needed
# only to install what is missing.
missing=""
command -v jupyter-nbconvert >/dev/null || missing="$missing jupyter-nbconvert"
graph=0 named=0
for a in "$@"; do
  case $a in 05*|5*) graph=1 named=1 ;; [0-9]*) named=1 ;; esac
done
if [ $named = 0 ] || [ $graph = 1 ]; then
  command -v dot >/dev/null || missing="$missing graphviz"
fi
if [ -n "$missing" ]; then
  sudo=""
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { echo "run.sh: install$missing first: there is no sudo here" >&2; exit 1; }
    sudo=sudo
  fi
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
# The page is judged by axe where npm can install it, and in a browser where there is Chromium.
case " $* " in *" -check "*)
  if command -v npm >/dev/null && npm install --silent --no-save --prefix "$tools/axe" axe-core@4 >/dev/null 2>&1; then
    export CONVGRAD_AXE="$tools/axe/node_modules/axe-core/axe.min.js"
  fi
  go test -count=1 ./... ;;
esac

# The plain Go kernels, so that every machine computes the same bits whatever its vector units.
export CONVGRAD_TIER=generic
exec go run ./cmd/nb "$@"
