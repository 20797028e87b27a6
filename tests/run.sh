#!/usr/bin/env bash
# Runs every test: unit, integration, doc. Installs PoCL where no OpenCL device answers; fails if there still is none.
#   tests/run.sh           what continuous integration runs
#   tests/run.sh --long    the long proofs too (NETC_LONG=1), then ten minutes of fuzzing (or NETC_FUZZ_SECONDS)
#   tests/run.sh [--long] NAME…   further arguments go to cargo test: a test's name, `--test all`, …
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ ${1:-} == --long ]]; then
    export NETC_LONG=1
    shift
fi
# Compiled kernels of the in-process tests: not the user's own cache.
export NETC_CACHE_DIR=${NETC_CACHE_DIR:-$PWD/target/test-kernel-cache}
# What a user's `netc tune` has kept must not matter.
export NETC_TUNING_DIR=$PWD/target/test-tuned
export NO_COLOR=1

has_opencl() {
    # Rows of devices begin with platform:device; the host engine's does not.
    cargo run --release --quiet -- devices | grep -Eq '^[0-9]+:[0-9]+ +cpu '
}

as_root() {
    if [[ $(id -u) == 0 ]]; then "$@"; else sudo "$@"; fi
}

cargo build --release
if ! has_opencl; then
    echo "tests/run.sh: no OpenCL CPU device answers; installing PoCL" >&2
    as_root apt-get update
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends pocl-opencl-icd ocl-icd-libopencl1
    if ! has_opencl; then
        echo "tests/run.sh: there still is no OpenCL CPU device, and no test is skipped for want of one" >&2
        exit 1
    fi
fi
seconds=${NETC_FUZZ_SECONDS:-600}
unset NETC_FUZZ_SECONDS
cargo test --release "$@"
if [[ ${NETC_LONG:-} == 1 && $# == 0 ]]; then
    # In a process of its own, whose memory is measured.
    NETC_FUZZ_SECONDS=$seconds cargo test --release --test all fuzz:: -- --nocapture
fi
