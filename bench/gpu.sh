#!/usr/bin/env bash
# Builds, tests, checks and times the GPU parts on a machine with a GPU and no network, in at most ten minutes: what a stage
# has not done in its share of them is cut, the page says so, and the others go on.
#
#   bench/gpu.sh pack                 before leaving: gathers dependencies in build/gpu-deps
#   bench/gpu.sh [--out DIR] [--quick] [--bench-only] [--no-sanitizer] [--profile] [--filter=REGEX]
#                [--min-time=SECONDS]
#
#   --quick        a few shapes instead of all
#   --bench-only   neither tests nor sanitizers, and no copy in docs/results
#   --filter       only the variants whose names match
#   --min-time     seconds that each variant runs at the least (0.02)
#
# SDLORA_GPU_SECONDS is how long all may take (600).
# Where the toolkit brings cuBLASLt, or CUBLASLT_ROOT names a folder with its include and lib, it is tested, and training steps
# are timed with it as well.
# Writes gpu-<device>.md, gpu-<device>.json and the logs to DIR (default $OUT, else build/gpu), the page to docs/results as
# well, and plots to build/gpu. The device is the first of CUDA_VISIBLE_DEVICES, numbered as nvidia-smi numbers them.
# Packages are taken from build/gpu-deps where that exists, else from the system.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
deps=build/gpu-deps

if [[ ${1:-} == pack ]]; then
  rm -rf "$deps"
  mkdir -p "$deps/include"
  missing=()
  for package in doctest:doctest-dev eigen3:libeigen3-dev xsimd:libxsimd-dev nlohmann:nlohmann-json3-dev; do
    for place in /usr/include /usr/local/include; do
      if [[ -d $place/${package%%:*} ]]; then
        cp -rL "$place/${package%%:*}" "$deps/include/"
        continue 2
      fi
    done
    missing+=("$package")
  done
  rm -rf "$deps/include/eigen3/unsupported"
  # Google Benchmark is more than headers, and a library made here may not fit the system there: its sources, from
  # BENCHMARK_SOURCE if that is set, else those of the distribution's package.
  sources=$(mktemp -d)
  trap 'rm -rf "$sources"' EXIT
  if [[ -z ${BENCHMARK_SOURCE:-} ]] && command -v apt-get >/dev/null; then
    mkdir -p "$sources/parts" "$sources/lists/partial"
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources}; do
      [[ ! -e $file ]] || sed 's/^deb /deb-src /; s/^Types:.*/Types: deb-src/' "$file" >"$sources/parts/${file##*/}"
    done
    apt=(apt-get -q -o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$sources/parts"
      -o "Dir::State::Lists=$sources/lists" -o APT::Sandbox::User=root)
    # Places without sources are reported and passed over.
    { "${apt[@]}" update || true; } >"$sources/log" 2>&1
    (cd "$sources" && "${apt[@]}" source --download-only benchmark && tar -xf benchmark_*.orig.tar.*) \
      >>"$sources/log" 2>&1 || tail -n 5 "$sources/log" >&2
    for BENCHMARK_SOURCE in "$sources"/benchmark-*; do :; done
  fi
  if [[ -f ${BENCHMARK_SOURCE:-}/src/benchmark.cc ]]; then
    cp -rL "$BENCHMARK_SOURCE/include/benchmark" "$deps/include/"
    mkdir -p "$deps/benchmark/src"
    cp -L "$BENCHMARK_SOURCE"/src/*.{cc,h} "$deps/benchmark/src/"
    rm "$deps/benchmark/src/benchmark_main.cc"
  else
    missing+=("benchmark/src:the sources of Google Benchmark, naming their folder in BENCHMARK_SOURCE,")
  fi
  echo "$(du -sh "$deps" | cut -f1) in $deps"
  for package in "${missing[@]}"; do
    echo "bench/gpu.sh: the pack lacks ${package%%:*}; install ${package##*:} and pack again" >&2
  done
  ((${#missing[@]} == 0)) || exit 1
  exit 0
fi

out=${OUT:-build/gpu}
selection=all
bench_only=""
filter=.
min_time=0.02
sanitizer=yes
profile=""
while (( $# )); do
  case $1 in
    --out) out=$2; shift ;;
    --quick) selection=quick ;;
    --bench-only) bench_only=yes ;;
    --filter=*) filter=${1#*=} ;;
    --min-time=*) min_time=${1#*=} ;;
    --no-sanitizer) sanitizer="" ;;
    --profile) profile=yes ;;
    *) echo "bench/gpu.sh: unknown argument $1" >&2; exit 2 ;;
  esac
  shift
done
mkdir -p "$out" build/gpu
work=build/gpu
milliseconds() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }
started=$(milliseconds)

# Every stage ends when so many percent of the time are over, whatever those before it took; so the benchmark has a fifth at
# the least, and what makes the page the rest.
budget=${SDLORA_GPU_SECONDS:-600}
declare -A ends_at=([compile]=45 [link]=50 [tests]=60 [memcheck]=65 [racecheck]=70 [profile]=72 [variants]=92 [benchmark]=96
                    [page]=99)
if [[ -n $bench_only ]]; then ends_at[compile]=65 ends_at[link]=70; fi
cuts=()  # what was not done for want of time
elapsed() { echo $((($(milliseconds) - started) / 1000)); }  # seconds
say() { printf '[%3d s] %s\n' "$(elapsed)" "$*"; }
left() { echo $((budget * ends_at[$1] * 10 - ($(milliseconds) - started))); }  # STAGE: the milliseconds that it still has
bounded() {  # STAGE COMMAND…: gives 124 where it is cut
  local stage=$1 ms status=0
  shift
  ms=$(left "$stage")
  ((ms > 0)) || return 124
  timeout -k 2 "$(printf '%d.%03d' $((ms / 1000)) $((ms % 1000)))" "$@" || status=$?
  # Killed, because asking was of no use.
  if ((status == 137 && $(left "$stage") <= 0)); then status=124; fi
  return $status
}
cut_short() {  # WHAT: is told now, and on the page
  cuts+=("$1, after $(elapsed) s of $budget")
  say "CUT: $1"
}

nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
if ! nvidia-smi -L >/dev/null 2>&1; then echo "skipped: no device"; exit 77; fi
if [[ ! -x $nvcc ]]; then echo "skipped: no nvcc"; exit 77; fi
PATH+=":$(dirname "$nvcc"):$(dirname "$(readlink -f "$nvcc")")"  # its neighbours: compute-sanitizer, ncu
# nvidia-smi and CUDA number devices alike only in this order.
export CUDA_DEVICE_ORDER=PCI_BUS_ID
device_number=${CUDA_VISIBLE_DEVICES:-0}
device_number=${device_number%%,*}
of_device() { nvidia-smi -i "$device_number" --query-gpu="$1" --format=csv,noheader | head -n 1; }
if ! device=$(of_device name) || ! capability=$(of_device compute_cap); then
  echo "bench/gpu.sh: nvidia-smi knows no device $device_number, the first of CUDA_VISIBLE_DEVICES; name one that nvidia-smi" \
    "-L lists" >&2
  exit 1
fi
capability=${capability//./}
driver=$(of_device driver_version)
name=$(tr 'A-Z ' 'a-z-' <<<"$device" | tr -cd 'a-z0-9-' | sed 's/^nvidia-//')
say "$device, compute capability $capability"

flags=(-std=c++20 -O3 --expt-relaxed-constexpr -arch="sm_$capability" -lineinfo -Iinclude -Itests)
if [[ -d $deps/include ]]; then flags+=(-isystem "$deps/include" -isystem "$deps/include/eigen3"); fi
flags+=(-isystem /usr/include/eigen3)
if [[ ! -f $deps/include/benchmark/benchmark.h && ! -f /usr/include/benchmark/benchmark.h &&
  ! -f /usr/local/include/benchmark/benchmark.h ]]; then
  echo "bench/gpu.sh: Google Benchmark is not here; take build/gpu-deps along, which bench/gpu.sh pack makes, or install" \
    "libbenchmark-dev" >&2
  exit 1
fi

cublaslt=()  # what links it; nothing where it is not here
cublaslt_root=${CUBLASLT_ROOT:-$(dirname "$(dirname "$(readlink -f "$nvcc")")")}
cublaslt_header=()
if [[ -n ${CUBLASLT_ROOT:-} ]]; then cublaslt_header=(-isystem "$CUBLASLT_ROOT/include"); fi
here=$work/cublaslt_here
printf '#include <cublasLt.h>\nint main() { return cublasLtGetVersion() == 0; }\n' >"$here.cu"
for library in -lcublasLt -l:libcublasLt.so.13 -l:libcublasLt.so.12; do  # NVIDIA's Python packages lack the first
  link_options=("$library")
  for folder in "$cublaslt_root"/{lib64,lib}; do
    [[ ! -d $folder ]] || link_options+=(-L "$folder" -Xlinker "-rpath=$folder")
  done
  if "$nvcc" "${cublaslt_header[@]}" "$here.cu" -o "$here" "${link_options[@]}" >"$here.log" 2>&1 && "$here"; then
    cublaslt=("${link_options[@]}")
    flags+=("${cublaslt_header[@]}" -DSDLORA_WITH_CUBLASLT)
    break
  fi
done
if ((!${#cublaslt[@]})); then say "without cuBLASLt, which is not in $cublaslt_root; CUBLASLT_ROOT names another folder"; fi

compiled=()
most_jobs=$(nproc)
((most_jobs >= 2)) || most_jobs=2
compile() {  # OBJECT COMMAND…
  local object=$1
  shift
  while (($(jobs -rp | wc -l) >= most_jobs)); do wait -n || true; done
  rm -f "$object" "$object.failed"
  compiled+=("$object")
  { bounded compile "$@" -o "$object" >"$object.log" 2>&1 || echo $? >"$object.failed"; } &
}
compile_cuda() {  # OBJECT SOURCE [OPTIONS…]
  local object=$1
  shift
  compile "$object" "$nvcc" "${flags[@]}" -c "$@"
}
is_cut() {  # OBJECT…: whether one of them was
  local object
  for object; do
    if [[ -e $object.failed && $(<"$object.failed") == 124 ]]; then return 0; fi
  done
  return 1
}
# First what the page cannot do without.
bench_objects=()
for source in bench/gpu/*.cu; do
  object=$work/$(basename "$source" .cu).o
  bench_objects+=("$object")
  compile_cuda "$object" "$source"
done
report_object=$work/scan_report.o
compile_cuda "$report_object" bench/scan_report.cpp
step_object=$work/train_step_cuda.o
compile_cuda "$step_object" bench/train_step_cuda.cu
libraries=(-lbenchmark)
if [[ -d $deps/benchmark ]]; then
  libraries=()
  for source in "$deps"/benchmark/src/*.cc; do
    object=$work/benchmark_$(basename "$source" .cc).o
    bench_objects+=("$object")
    compile "$object" g++ -std=c++17 -O2 -DNDEBUG -DHAVE_STD_REGEX -DHAVE_STEADY_CLOCK -I"$deps/include" -c "$source"
  done
fi
test_objects=()
if [[ -z $bench_only ]]; then
  for source in tests/cuda/*.cu; do
    [[ $source != */cublaslt.cu || ${#cublaslt[@]} -gt 0 ]] || continue
    object=$work/$(basename "$source" .cu).o
    test_objects+=("$object")
    compile_cuda "$object" "$source" -DSDLORA_TEST_ALL_STATES
  done
  test_objects+=("$work/main.o")
  compile_cuda "$work/main.o" -x cu tests/main.cpp
fi
wait
failed=""
for object in "${compiled[@]}"; do
  if [[ -e $object.failed ]] && ! is_cut "$object"; then
    failed=yes
    echo "does not compile: $object"
    head -n 40 "$object.log"
  fi
done
[[ -z $failed ]] || exit 1
have_tests=""
have_benchmark=""
link() {  # WHAT PROGRAM OBJECT…: gives 1 where there was no time
  local what=$1 program=$2 result=0
  shift 2
  if ! is_cut "$@"; then
    bounded link "$nvcc" -arch="sm_$capability" "$@" -o "$program" >"$work/link.log" 2>&1 || result=$?
    ((result != 0)) || return 0
    if ((result != 124)); then
      cat "$work/link.log"
      echo "bench/gpu.sh: $what cannot be linked; where Google Benchmark is what lacks, build/gpu-deps, which bench/gpu.sh" \
        "pack makes, brings its sources"
      exit 1
    fi
  fi
  cut_short "the build of $what"
  return 1
}
if link "the report" "$work/scan_report" "$report_object" &&
  link "the benchmark" "$work/scan_variants_cuda" "${bench_objects[@]}" "${libraries[@]}"; then
  have_benchmark=yes
fi
have_step=""
if link "the training step" "$work/train_step_cuda" "$step_object" "${cublaslt[@]}"; then have_step=yes; fi
if [[ -z $bench_only ]] && link "the tests" "$work/test_cuda" "${test_objects[@]}" "${cublaslt[@]}"; then have_tests=yes; fi
say "built"

status=0
troubles=$work/troubles.txt  # said again at the end, where a short memory of what was printed still has it
: >"$troubles"
trouble() {  # TITLE LOG [COMMAND…]: what of the log is shown
  local title=$1 log=$2
  shift 2
  status=1
  say "$title"
  { echo "-- $title"; "${@:-cat}" <"$log" | cut -c1-300 | head -c 4000; echo; } >>"$troubles" || true
}

verdict_tests="not run"
if [[ -n $have_tests ]]; then
  result=0
  bounded tests "$work/test_cuda" >"$out/tests.log" 2>&1 || result=$?
  case $result in
    0) verdict_tests=pass; say "tests pass" ;;
    124)
      verdict_tests=cut
      cut_short "the tests"
      ! grep -q ERROR "$out/tests.log" || trouble "TESTS FAIL before that" "$out/tests.log"
      ;;
    *) verdict_tests="see the log"; trouble "TESTS FAIL" "$out/tests.log" ;;
  esac
  tail -n 4 "$out/tests.log"
fi

kinds_of_products=(tiled)
if ((${#cublaslt[@]})); then kinds_of_products+=(cublaslt cublaslt-tf32); fi
for products in "${kinds_of_products[@]}"; do
  [[ -n $have_step ]] || break
  result=0
  log=$out/train_step_$products.log
  bounded tests "$work/train_step_cuda" --products "$products" >"$log" 2>&1 || result=$?
  case $result in
    0) say "a training step:"; cat "$log" ;;
    124) cut_short "the training step, $products" ;;
    *) trouble "THE TRAINING STEP FAILED, $products" "$log" ;;
  esac
done

verdict_memcheck="not run"
verdict_racecheck="not run"
seen_by_tools='*only the gradients*,*same bits*,scan*of device*,*every policy once*,expressions*on a stream*'
if [[ -n $sanitizer && -n $have_tests ]]; then
  for tool in memcheck racecheck; do
    if ! command -v compute-sanitizer >/dev/null; then
      say "compute-sanitizer $tool: not run, because compute-sanitizer is neither on PATH nor beside $nvcc"
      continue
    fi
    result=0
    bounded "$tool" compute-sanitizer --tool "$tool" --error-exitcode 9 "$work/test_cuda" -tc="$seen_by_tools" \
      >"$out/$tool.log" 2>&1 || result=$?
    case $result in
      0) verdict=clean; say "compute-sanitizer $tool: clean" ;;
      124)
        verdict=cut
        cut_short "compute-sanitizer $tool"
        if grep -e '^=========' "$out/$tool.log" | grep -qv -e COMPUTE-SANITIZER; then
          trouble "compute-sanitizer $tool finds before that" "$out/$tool.log" grep -m 40 -e '=====' -e ERROR
        fi
        ;;
      *)
        verdict="exit status $result"
        trouble "compute-sanitizer $tool: $verdict" "$out/$tool.log" grep -m 40 -e '=====' -e ERROR
        ;;
    esac
    printf -v "verdict_$tool" '%s' "$verdict"
  done
fi

if [[ -n $profile && -n $have_benchmark ]]; then
  if command -v ncu >/dev/null; then
    result=0
    bounded profile ncu --clock-control none --kernel-name regex:run_kernel --launch-count 12 \
      --section SpeedOfLight --section Occupancy --section WarpStateStats --section InstructionStats \
      --section LaunchStats "$work/scan_variants_cuda" --benchmark_filter=selective/fused >"$out/profile.log" 2>&1 ||
      result=$?
    if ((result == 124)); then cut_short "the profile"; else say "profiled"; fi
  else
    say "not profiled, because ncu is neither on PATH nor beside $nvcc"
  fi
fi

results=$out/gpu-$name.json
page=$out/gpu-$name.md
made=$work/gpu-$name.md
rm -f "$results" "$page" "$made" "$work"/gpu_*.gp
if [[ -n $have_benchmark ]]; then
  # The program ends by itself, with a complete file: variants that begin after the limit are left out.
  bounded benchmark "$work/scan_variants_cuda" --selection="$selection" --time-limit=$(($(left variants) / 1000)) \
    --benchmark_filter="$filter" --benchmark_min_time="$min_time" \
    --benchmark_out="$results" --benchmark_out_format=json >"$out/bench.log" 2>&1 &
  benchmark=$!
  ticks=0
  while kill -0 "$benchmark" 2>/dev/null; do
    sleep 0.2
    ((++ticks % 150)) || say "$(tail -n 1 "$out/bench.log" | cut -c1-150)"
  done
  result=0
  wait "$benchmark" || result=$?
  if ((result == 124)); then
    cut_short "the benchmark, in a variant that did not end"
    # Each variant's figures are written when it ends; what is lacking are the last brackets.
    [[ ! -s $results ]] || printf '\n  ]\n}\n' >>"$results"
  elif ((result != 0)); then
    trouble "THE BENCHMARK FAILED" "$out/bench.log" grep -e ': failed' -e '^scan_variants_cuda' -e '^terminate'
    tail -n 5 "$out/bench.log"
  elif ((status == 0)) && [[ ! -s $results ]]; then
    say "no variant's name matches $filter"
    exit 0
  fi
fi
has_figures=yes
if [[ -z $have_benchmark ]] || ! bounded page "$work/scan_report" "$results" "$work"; then
  has_figures=""
  status=1
  printf '# Scans on %s\n\nNo figures: the benchmark was cut, or failed.\n\n' "$device" >"$made"
  say "NO PAGE OF FIGURES COULD BE MADE of $results"
fi
if command -v gnuplot >/dev/null; then
  for script in "$work"/gpu_*.gp; do [[ ! -e $script ]] || bounded page gnuplot "$script" || true; done
fi
{
  printf '## Checks of the same run\n\n'
  printf 'Tests: %s. compute-sanitizer memcheck: %s, racecheck: %s. Driver %s, %s.\n\n' \
    "$verdict_tests" "$verdict_memcheck" "$verdict_racecheck" "$driver" \
    "$("$nvcc" --version | sed -n 's/.*release \([0-9.]*\).*/CUDA \1/p')"
  for cut in "${cuts[@]}"; do printf 'Cut for want of time: %s.\n\n' "$cut"; done
  printf 'Made by `bench/gpu.sh`.\n'
} >>"$made"
# Elsewhere the plots do not lie beside the page.
without_plots() { grep -v -e '^## Plots$' -e '^!\[' "$made" | cat -s; }
[[ $out -ef $work ]] || without_plots >"$page"
if [[ -z $bench_only && -n $has_figures ]]; then  # what an earlier run found is worth more than a page without figures
  mkdir -p docs/results
  without_plots >"docs/results/gpu-$name.md"
fi
without_plots
say "done: $page"
say "tests: $verdict_tests; compute-sanitizer memcheck: $verdict_memcheck, racecheck: $verdict_racecheck"
cat "$troubles"
for cut in "${cuts[@]}"; do say "CUT: $cut"; done
if ((${#cuts[@]})); then
  status=1
  say "SDLORA_GPU_SECONDS gives it more time"
fi
exit $status
