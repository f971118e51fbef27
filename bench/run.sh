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
#
# All ends up in build/bench. What fails leaves nothing there, the rest goes on, and the exit status is 1.
# SDLORA_BENCH_PROGRAMS is the folder of the programs, where that is not build/release/bench.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '%s\n' "$*" >&2; }
refuse() {
  say "bench/run.sh: $*"
  sed -n '5,11s/^# \{0,1\}//p' bench/run.sh >&2
  exit 2
}

programs=${SDLORA_BENCH_PROGRAMS:-build/release/bench}
out=build/bench
selection=quick peers=no filter=. min_time=""
for argument in "$@"; do
  case $argument in
    --all) selection=all ;;
    --peers) peers=yes ;;
    --filter=*) filter=${argument#*=} ;;
    --min-time=*) min_time=${argument#*=} ;;
    *) refuse "unknown argument $argument" ;;
  esac
done
[[ ${min_time:-1} =~ ^[0-9]*\.?[0-9]+$ ]] || refuse "--min-time: expected seconds, found '$min_time'"

for name in scan_variants scan_report; do
  [[ -x $programs/$name ]] || { say "bench/run.sh: $programs/$name is not built; use ./run bench"; exit 1; }
done
results=$out/scan_variants.json page=$out/scan_variants.md
mkdir -p "$out"
# What an earlier run left would pass for this one's.
rm -f "$out"/scan_*.{json,md,gp,png} "$out"/{selective_scan,selective_scan_v3,expression,products,train_step,decode}.txt "$out/decode.json"
trap 'rm -f "$out"/*.part' EXIT
begun=$SECONDS

failed=()
fails() { failed+=("$1"); say "bench/run.sh: $1 failed"; }

# keep FILE COMMAND…: what it prints is seen, and kept once it has ended well.
keep() {
  local file=$out/$1
  shift
  if "$@" | tee "$file.part" >&2; then
    mv "$file.part" "$file"
  else
    fails "$(basename "$file")"
    return 1
  fi
}

# Adds what is read to the page, where there is one.
section() {
  if [[ -e $page ]]; then cat >>"$page"; else cat >/dev/null; fi
}

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
# Where only some variants fail, the page names them.
"$programs/scan_variants" --selection="$selection" --benchmark_filter="$filter" \
  ${min_time:+--benchmark_min_time="$min_time"} --benchmark_out="$results.part" --benchmark_out_format=json ||
  fails scan_variants
[[ ! -e $results.part ]] || mv "$results.part" "$results"
if "$programs/scan_report" "$results" "$out"; then
  printf '\n%s\n' "$machine" | section
else
  fails scan_report
  rm -f "$out"/scan_*.{json,md,gp}
fi

draw() {
  local script
  if ! command -v gnuplot >/dev/null; then
    say "bench/run.sh: no plots, because gnuplot is not installed (Debian: gnuplot-nox)"
    return 1
  fi
  for script in "$out"/scan_*.gp; do
    [[ -e $script ]] || continue
    gnuplot "$script" || { fails "gnuplot $script"; return 1; }
  done
}
if ! draw && [[ -e $page ]]; then
  rm -f "$out"/scan_*.png
  grep -v -e '^## Plots$' -e '^!\[' "$page" | cat -s >"$page.part"
  mv "$page.part" "$page"
fi

# The other benchmarks print tables of their own.
train_steps() {  # on one thread and on all
  local threads all
  all=$(nproc 2>/dev/null || echo 1)
  for threads in $(printf '%s\n' 1 "$all" | uniq); do
    "$programs/train_step" 3 24 "$threads" || return
  done
}
decode() { "$programs/decode" 9 8 24 "$out/decode.json"; }
others=(selective_scan expression products train_step decode)
for name in "${others[@]}"; do
  [[ -x $programs/$name ]] || continue
  say "== $name"
  run=("$programs/$name")
  [[ $name != train_step ]] || run=(train_steps)
  [[ $name != decode ]] || run=(decode)
  keep "$name.txt" "${run[@]}" || true
done

# The same scan on narrower vectors, which this machine has as well.
if [[ -x $programs/selective_scan_v3 ]] && grep -q -m1 -w avx512f /proc/cpuinfo; then
  say "== selective_scan on AVX2"
  keep selective_scan_v3.txt "$programs/selective_scan_v3" 30 1536 1024 || true
fi

find_peers() {  # prints a Python that has the peers
  local python=${PEERS_PYTHON:-build/peers/bin/python}
  if [[ -x $python ]] && "$python" -c 'import torch, numpy, mambapy' 2>/dev/null; then echo "$python"; return; fi
  if [[ -n ${PEERS_PYTHON:-} ]]; then say "bench/run.sh: $PEERS_PYTHON has not torch, numpy and mambapy"; return 1; fi
  say "== making build/peers with torch and mambapy"
  if ! python3 -m venv build/peers >&2; then
    say "bench/run.sh: no Python environment can be made (Debian: python3-venv)"
    return 1
  fi
  # torch first: mambapy would take any.
  if ! { "$python" -m pip install -q torch==2.13.0 numpy && "$python" -m pip install -q mambapy==1.2.0; } >&2; then
    say "bench/run.sh: torch 2.13.0 and mambapy 1.2.0 cannot be installed here; the comparison is left out"
    return 1
  fi
  echo "$python"
}
if [[ $peers == yes ]]; then
  if python=$(find_peers); then
    say "== mambapy in turn with ours"
    if keep scan_peers.md "$python" bench/scan_peers.py "$programs/scan_variants"; then
      compared=$(cat "$out/scan_peers.md")
    else
      compared="The comparison failed."
    fi
  else
    compared="Not run: torch and mambapy could not be had."
  fi
  printf '\n## Peer\n\n%s\n' "$compared" | section
fi

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
    fails "bench/gpu.sh"
    say "bench/run.sh: build/gpu/bench.log has what the GPU's scan variants said"
  fi
  gpu_pages=(build/gpu/gpu-*.md)
fi

[[ ! -e $page ]] || cat "$page"
for shown in "${gpu_pages[@]}"; do [[ ! -e $shown ]] || { echo; cat "$shown"; }; done
if ((${#failed[@]})); then
  say "bench/run.sh: FAILED: $(printf '%s\n' "${failed[@]}" | paste -s -d ,)"
  exit 1
fi
say "== done in $(( SECONDS - begun )) s: $page, its JSON, and plots beside it"
