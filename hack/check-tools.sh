#!/bin/sh
# Says at once everything that is missing to build and run this repository, and what to do about it.
#
#   hack/check-tools.sh            exit 0 when all is there, else 1 with a list on stderr
#   hack/check-tools.sh --test     the same, with what only the tests need
#   hack/check-tools.sh --python   prints the Python interpreter to use
#
# The only place that knows the minimum versions; the Makefile and the testbed both call it.
set -u

missing=""
miss() { missing="${missing}
  - $1
      $2"; }

# at_least HAVE WANT: compares dotted versions, numerically, as far as WANT goes.
at_least() {
    awk -v have="$1" -v want="$2" 'BEGIN {
        split(have, h, "."); n = split(want, w, ".")
        for (i = 1; i <= n; i++) { if (h[i]+0 > w[i]+0) exit 0; if (h[i]+0 < w[i]+0) exit 1 }
        exit 0
    }'
}
version_in() { sed -n 's/[^0-9]*\([0-9][0-9.]*\).*/\1/p' | head -n 1; }

# Debian packages `venv` apart from Python, so that having the interpreter is not enough.
find_python() {
    old="" bare=""
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        version=$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
        if ! at_least "$version" 3.11; then old="$version"; continue; fi
        if ! "$candidate" -c 'import venv, ensurepip' 2>/dev/null; then bare="$version"; continue; fi
        command -v "$candidate"
        return 0
    done
    return 1
}

if [ "${1:-}" = "--python" ]; then
    find_python || exit 1
    exit 0
fi

if ! rust=$(cargo --version 2>/dev/null | version_in) || [ -z "$rust" ]; then
    miss "Rust 1.94 or newer: no cargo found" "install it from https://rustup.rs"
elif ! at_least "$rust" 1.94; then
    miss "Rust 1.94 or newer: this is $rust" "run: rustup update stable"
fi

# Not needed when somebody brings a control plane of their own, except by the tests of the chart.
go_for="" instead=""
if [ "${1:-}" = "--test" ]; then
    go_for="helm and kubeconform for the tests, also with KUBEBUILDER_ASSETS"
fi
if [ -z "${KUBEBUILDER_ASSETS:-}" ]; then
    go_for="kube-apiserver, etcd and kubectl${go_for:+, and $go_for}"
    [ "${1:-}" = "--test" ] || instead=", or set KUBEBUILDER_ASSETS"
fi
if [ -n "$go_for" ]; then
    if ! go=$(go version 2>/dev/null | sed 's/.*go version go//' | version_in) || [ -z "$go" ]; then
        miss "Go 1.26 or newer: no go found" "install it from https://go.dev/dl (it builds $go_for)$instead"
    elif ! at_least "$go" 1.26; then
        # From 1.21 on, Go fetches the newer toolchain that go.mod asks for by itself, unless told not to.
        if ! at_least "$go" 1.21 || [ "$(go env GOTOOLCHAIN 2>/dev/null)" = "local" ]; then
            miss "Go 1.26 or newer: this is $go" "install it from https://go.dev/dl (it builds $go_for)$instead"
        fi
    fi
fi

if ! find_python >/dev/null; then
    if [ -n "$bare" ]; then
        miss "Python 3.11 or newer with venv: Python $bare has no venv" "on Debian and Ubuntu: apt-get install python3-venv"
    elif [ -n "$old" ]; then
        miss "Python 3.11 or newer: this is $old" "install it from your distribution or https://www.python.org (it runs the local AWS)"
    else
        miss "Python 3.11 or newer: no python3 found" "install it from your distribution or https://www.python.org (it runs the local AWS)"
    fi
fi

if ! node=$(node --version 2>/dev/null | version_in) || [ -z "$node" ]; then
    miss "Node 20 or newer: no node found" "install it from https://nodejs.org (it runs the Lambda functions of the local AWS)"
elif ! at_least "$node" 20; then
    miss "Node 20 or newer: this is $node" "install a newer one from https://nodejs.org"
fi

if ! command -v cc >/dev/null 2>&1; then
    miss "a C compiler: no cc found" "on Debian and Ubuntu: apt-get install build-essential; on macOS: xcode-select --install"
fi

if [ "${1:-}" = "--test" ]; then
    # The test of the web page; CHROMIUM names one of another name.
    browser=""
    for candidate in ${CHROMIUM:-chromium chromium-browser google-chrome}; do
        command -v "$candidate" >/dev/null 2>&1 && browser="$candidate" && break
    done
    if [ -z "$browser" ]; then
        miss "Chromium: none found" "on Debian: apt-get install chromium; elsewhere install Chrome or Chromium, and set CHROMIUM to its program"
    fi
fi

if [ -n "$missing" ]; then
    printf 'Some tools are missing:\n%s\n\n' "$missing" >&2
    exit 1
fi
