#!/usr/bin/env bash
# Runs the benchmarks of the CPU, and of the GPU where there is one, and makes pages of tables and plots of them.
# `./run bench` builds the programs first and then calls this.
#
#   bench/run.sh [--all] [--peers] [--filter=REGEX] [--min-time=SECONDS]
#
#   --all        every shape of scan_variants (hours) instead of a selection (minutes)
#   --peers      also times mambapy's parallel scan in turn with ours; makes a Python environment in
#                build/peers when PEERS_PYTHON does not name one that has torch and mambapy
#   --filter     only the scan variants whose names match
#   --min-time   seconds that each turn of a variant takes at the least
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

programs=${SDLORA_BENCH_PROGRAMS:-build/release/bench}
out=build/bench
selection=quick peers=no filter=. min_time=""
for argument in "$@"; do
  case $argument in
    --all) selection=all ;;
    --peers) peers=yes ;;
    --filter=*) filter=${argument#*=} ;;
    --min-time=*) min_time=${argument#*=} ;;
    *) sed -n '5,12s/^# \{0,1\}//p' bench/run.sh >&2; exit 2 ;;
  esac
done

say() { printf '%s\n' "$*" >&2; }
[[ -x $programs/scan_variants ]] || { say "bench/run.sh: $programs/scan_variants is not built; use ./run bench"; exit 1; }
mkdir -p "$out"
begun=$SECONDS

describe_machine() {
  echo "## Machine"
  echo
  if command -v lscpu >/dev/null; then
    LC_ALL=C lscpu | sed -n -E 's/^(Model name|CPU family|Model|Stepping|CPU\(s\)|Thread\(s\) per core|L1d cache|L2 cache|L3 cache): +(.*)/- \1: \2/p'
    echo "- Widest vectors: $(grep -o -m1 -w -E 'avx512f' /proc/cpuinfo || grep -o -m1 -w -E 'avx2|asimd' /proc/cpuinfo || echo unknown)"
  fi
  echo "- Compiler: $("${CXX:-g++}" --version | head -n 1)"
  echo "- Load when it began: $(cut -d' ' -f1-3 /proc/loadavg 2>/dev/null || echo unknown)"
  echo
}
machine=$(describe_machine)

say "== scan variants ($selection selection)"
"$programs/scan_variants" --selection="$selection" --benchmark_filter="$filter" \
  ${min_time:+--benchmark_min_time="$min_time"} --benchmark_out="$out/scan_variants.json" --benchmark_out_format=json
"$programs/scan_report" "$out/scan_variants.json" "$out"
printf '\n%s\n' "$machine" >>"$out/scan_variants.md"
if command -v gnuplot >/dev/null; then
  for script in "$out"/scan_*.gp; do
    [[ -e $script ]] && gnuplot "$script"
  done
else
  say "bench/run.sh: no plots, because gnuplot is not installed (Debian: gnuplot-nox)"
fi

# The other benchmarks print tables of their own.
others=(selective_scan expression train_step)
for name in "${others[@]}"; do
  [[ -x $programs/$name ]] || continue
  say "== $name"
  "$programs/$name" | tee "$out/$name.txt" >&2
done

# The same scan on narrower vectors, which this machine has as well.
if [[ -x $programs/selective_scan_v3 ]] && grep -q -m1 -w avx512f /proc/cpuinfo; then
  say "== selective_scan on AVX2"
  "$programs/selective_scan_v3" 30 1536 1024 | tee "$out/selective_scan_v3.txt" >&2
fi

find_peers() {  # prints a Python that has the peers
  local python=${PEERS_PYTHON:-build/peers/bin/python}
  if [[ -x $python ]] && "$python" -c 'import torch, mambapy' 2>/dev/null; then echo "$python"; return; fi
  if [[ -n ${PEERS_PYTHON:-} ]]; then say "bench/run.sh: $PEERS_PYTHON has not torch and mambapy"; return 1; fi
  say "== making build/peers with torch and mambapy"
  if ! python3 -m venv build/peers >&2; then
    say "bench/run.sh: no Python environment can be made (Debian: python3-venv)"
    return 1
  fi
  # torch first: mambapy would take any.
  if ! { "$python" -m pip install -q torch==2.13.0 numpy && "$python" -m pip install -q mambapy; } >&2; then
    say "bench/run.sh: torch 2.13.0 and mambapy cannot be installed here; the comparison is left out"
    return 1
  fi
  echo "$python"
}
if [[ $peers == yes ]]; then
  if python=$(find_peers); then
    say "== mambapy in turn with ours"
    "$python" bench/scan_peers.py "$programs/scan_variants" | tee "$out/scan_peers.md" >&2
    { echo; echo "## Peer"; echo; cat "$out/scan_peers.md"; } >>"$out/scan_variants.md"
  else
    { echo; echo "## Peer"; echo; echo "Not run: torch and mambapy could not be had."; } >>"$out/scan_variants.md"
  fi
fi

status=0
gpu_lacks=""
gpu_pages=()
if ! nvidia-smi -L >/dev/null 2>&1; then gpu_lacks="no device"
elif ! command -v nvcc >/dev/null && [[ ! -x /usr/local/cuda/bin/nvcc ]]; then gpu_lacks="no nvcc"
fi
if [[ -n $gpu_lacks ]]; then
  say "== the GPU's scan variants are left out: $gpu_lacks"
else
  say "== scan variants of the GPU ($selection selection)"
  rm -f build/gpu/gpu-*.md  # a page of an earlier run would pass for one of this
  gpu_options=(--bench-only --out build/gpu --filter="$filter" ${min_time:+--min-time="$min_time"})
  [[ $selection == all ]] || gpu_options+=(--quick)
  if ! bash bench/gpu.sh "${gpu_options[@]}" >&2; then
    status=1
    say "bench/run.sh: the GPU's scan variants failed; build/gpu/bench.log has what they said"
  fi
  gpu_pages=(build/gpu/gpu-*.md)
fi

cat "$out/scan_variants.md"
for page in "${gpu_pages[@]}"; do [[ ! -e $page ]] || { echo; cat "$page"; }; done
say "== done in $(( SECONDS - begun )) s: $out/scan_variants.md, its JSON, and plots beside it"
exit $status
