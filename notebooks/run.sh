#!/bin/sh
# run.sh: executes all notebooks headless and writes them with their outputs; fails if a cell fails.
#
#	./run.sh            execute all and write *.ipynb
#	./run.sh 02 04      only those
#	./run.sh -check     execute all and compare with the committed outputs, except for cells tagged "varies"; writes nothing
#	./run.sh -html DIR  also render them to HTML
#
# It needs Go and jupyter-nbconvert, and graphviz to write notebook 5. As root on Debian it installs
# what is missing.
set -eu
cd "$(dirname "$0")"

check=0 five=1
for a in "$@"; do
  case $a in
  -check) check=1 ;;
  05* | 5*) five=1; break ;;
  [0-9]*) five=0 ;;
  esac
done

missing=""
command -v jupyter-nbconvert >/dev/null || missing="$missing jupyter-nbconvert"
# dot draws the graph of notebook 5. The check leaves that cell out, and it says so where dot is not.
if [ $five = 1 ] && [ $check = 0 ]; then command -v dot >/dev/null || missing="$missing graphviz"; fi
# With CONVGRAD_BROWSER=1 the check of the page may not be left out.
if [ $check = 1 ] && [ "${CONVGRAD_BROWSER:-}" = 1 ]; then
  command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || missing="$missing chromium"
  command -v npm >/dev/null || missing="$missing npm"
fi
if [ -n "$missing" ]; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "run.sh: not here:$missing. Install them (Debian: apt-get install$missing; without root: python3 -m pip install nbconvert), then run this again." >&2
    exit 1
  fi
  apt-get update -qq
  # shellcheck disable=SC2086 # a list of words
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

# The kernel and its goimports at the versions of go.mod, in a directory of their own.
tools=$PWD/.tools
mkdir -p "$tools"
GOBIN=$tools/bin go install tool
export PATH="$tools/bin:$PATH" JUPYTER_DATA_DIR="$tools/jupyter"
gonb --install --force_deps >"$tools/install.log" 2>&1 || { cat "$tools/install.log" >&2; exit 1; }

# The plain Go kernels, so that every machine computes the same bits whatever its vector units.
# Every cell is a program. Without tables for debuggers it links in half the time.
notebooks() { CONVGRAD_TIER=generic GOFLAGS="${GOFLAGS:-} -ldflags=-w" go run ./cmd/nb "$@"; }

if [ $check = 0 ]; then
  notebooks "$@"
  exit
fi
# The tests of this module first. The page is judged by axe where npm can install it, and in a
# browser where there is Chromium. Its tests come alone: they measure how long a click takes.
if [ ! -f "$tools/axe/node_modules/axe-core/axe.min.js" ] && command -v npm >/dev/null; then
  npm install --silent --no-save --prefix "$tools/axe" axe-core@4 >/dev/null 2>&1 || true
fi
axe=$tools/axe/node_modules/axe-core/axe.min.js
if [ -f "$axe" ]; then
  export CONVGRAD_AXE="$axe"
else
  echo "run.sh: axe-core could not be installed: accessibility is not judged" >&2
fi
go vet ./...
# shellcheck disable=SC2046 # a list of words
go test -count=1 $(go list ./... | grep -v '/notebooks/page$')
go test -count=1 ./page
notebooks "$@"
