#!/usr/bin/env bash
# Builds, tests, checks and times the GPU parts on a machine with a GPU and no network, in under ten minutes.
#
#   bench/gpu.sh pack                 before leaving: gathers header dependencies in build/gpu-deps
#   bench/gpu.sh [--out DIR] [--quick] [--no-sanitizer] [--profile]
#
# Writes gpu-<device>.md, gpu-<device>.json and the logs to DIR (default $OUT, else build/gpu), and the page to
# docs/results. Packages are taken from build/gpu-deps where that exists, else from the system.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
deps=build/gpu-deps

if [[ ${1:-} == pack ]]; then
  rm -rf "$deps"
  mkdir -p "$deps/include"
  for package in doctest eigen3 xsimd nlohmann benchmark; do
    for place in /usr/include /usr/local/include; do
      if [[ -d $place/$package ]]; then
        cp -rL "$place/$package" "$deps/include/"
        break
      fi
    done
  done
  rm -rf "$deps/include/eigen3/unsupported"
  du -sh "$deps" | cut -f1
  exit 0
fi

out=${OUT:-build/gpu}
quick=""
sanitizer=yes
profile=""
while (( $# )); do
  case $1 in
    --out) out=$2; shift ;;
    --quick) quick=--quick ;;
    --no-sanitizer) sanitizer="" ;;
    --profile) profile=yes ;;
    *) echo "bench/gpu.sh: unknown argument $1" >&2; exit 2 ;;
  esac
  shift
done
mkdir -p "$out" build/gpu
work=build/gpu
started=$SECONDS
say() { printf '[%3d s] %s\n' $((SECONDS - started)) "$*"; }

nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
if [[ ! -x $nvcc ]]; then echo "skipped: no nvcc"; exit 77; fi
if ! nvidia-smi -L >/dev/null 2>&1; then echo "skipped: no device"; exit 77; fi
device=$(nvidia-smi --query-gpu=name --format=csv,noheader | head -n 1)
capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d .)
name=$(tr 'A-Z ' 'a-z-' <<<"$device" | tr -cd 'a-z0-9-' | sed 's/^nvidia-//')
say "$device, compute capability $capability"

flags=(-std=c++20 -O3 --expt-relaxed-constexpr -arch="sm_$capability" -lineinfo -Iinclude -Itests)
if [[ -d $deps/include ]]; then flags+=(-isystem "$deps/include" -isystem "$deps/include/eigen3"); fi
flags+=(-isystem /usr/include/eigen3)

objects=()
jobs=()
compile() {  # OBJECT SOURCE [OPTIONS…]
  local object=$1
  shift
  "$nvcc" "${flags[@]}" -c "$@" -o "$object" >"$object.log" 2>&1 &
  jobs+=("$!:$object")
}
for source in tests/cuda/*.cu; do
  object=$work/$(basename "$source" .cu).o
  objects+=("$object")
  compile "$object" "$source" -DSDLORA_TEST_ALL_STATES
done
objects+=("$work/main.o")
compile "$work/main.o" -x cu tests/main.cpp
compile "$work/bench.o" bench/gpu/scan.cu
failed=""
for job in "${jobs[@]}"; do
  if ! wait "${job%%:*}"; then
    failed=yes
    echo "does not compile: ${job#*:}"
    head -n 40 "${job#*:}.log"
  fi
done
[[ -z $failed ]] || exit 1
"$nvcc" -arch="sm_$capability" "${objects[@]}" -o "$work/test_cuda"
"$nvcc" -arch="sm_$capability" "$work/bench.o" -o "$work/bench_scan"
say "built"

status=0
set -o pipefail
if timeout 150 "$work/test_cuda" >"$out/tests.log" 2>&1; then say "tests pass"; else status=1; say "TESTS FAIL"; fi
tail -n 4 "$out/tests.log"
((status == 0)) || head -c 3000 "$out/tests.log"

verdict_memcheck="not run"
verdict_racecheck="not run"
if [[ -n $sanitizer ]] && command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck; do
    verdict=clean
    timeout 100 compute-sanitizer --tool "$tool" --error-exitcode 9 "$work/test_cuda" \
      -tc='*only the gradients*,*same bits*' >"$out/$tool.log" 2>&1 || verdict="exit status $?"
    say "compute-sanitizer $tool: $verdict"
    [[ $verdict == clean ]] || { status=1; tail -n 15 "$out/$tool.log"; }
    printf -v "verdict_$tool" '%s' "$verdict"
  done
fi

if [[ -n $profile ]] && command -v ncu >/dev/null; then
  timeout 120 ncu --clock-control none --kernel-name regex:run_kernel --launch-count 12 \
    --section SpeedOfLight --section Occupancy --section WarpStateStats --section InstructionStats --section LaunchStats \
    "$work/bench_scan" "$work/ignored.json" "$work/ignored.md" --quick >"$out/profile.log" 2>&1 || true
  say "profiled"
fi

page=$out/gpu-$name.md
if timeout 300 "$work/bench_scan" "$out/gpu-$name.json" "$page" $quick 2>&1 | tee "$out/bench.log"; then
  {
    printf '\n## Checks of the same run\n\n'
    printf 'Tests: %s. compute-sanitizer memcheck: %s, racecheck: %s. Driver %s, %s.\n\n' \
      "$([[ $status == 0 ]] && echo pass || echo "see the log")" "$verdict_memcheck" "$verdict_racecheck" \
      "$(nvidia-smi --query-gpu=driver_version --format=csv,noheader | head -n 1)" \
      "$("$nvcc" --version | sed -n 's/.*release \([0-9.]*\).*/CUDA \1/p')"
    printf 'Made by `bench/gpu.sh`.\n'
  } >>"$page"
  mkdir -p docs/results
  cp "$page" "docs/results/gpu-$name.md"
else
  status=1
  say "THE BENCHMARK FAILED"
fi
say "done: $page"
exit $status
