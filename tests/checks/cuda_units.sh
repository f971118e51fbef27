# CUDA units that no target builds: the headers of tensor/ and scan/ compile as host code of one, and the benchmark of
# bench/gpu.sh and the programs of README and docs compile, instantiations included. Their machine code, minutes of work, is
# left to a machine with a GPU.
source "$(dirname "$0")/common.sh"

nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
[[ -x $nvcc ]] || skip "no nvcc"
options=(-std=c++20 -arch=sm_90 --expt-relaxed-constexpr -ccbin "$CXX" -Iinclude "${dependencies[@]}"
         -Werror=all-warnings)
reads_only=()
if "$nvcc" --help | grep -e --fdevice-syntax-only >/dev/null; then reads_only=(-fdevice-syntax-only); fi
units=()
without=""
if "$CXX" -E "${dependencies[@]}" -x c++ - <<<'#include <benchmark/benchmark.h>' >/dev/null 2>&1; then
  for unit in bench/gpu/*.cu; do
    # The others of the menu are this one with another type.
    [[ $unit == */menu_* && $unit != */menu_bfloat16.cu ]] || units+=("$unit")
  done
else
  without=", without bench/gpu: Google Benchmark is not here (Debian: libbenchmark-dev)"
fi
printf '#include <sdlora/%s.hpp>\n' tensor scan >"$scratch/host.cu"
units+=("$scratch/host.cu")
rm -f "$scratch"/shown_*.cu
for page in README.md docs/scan-variants.md; do
  name=shown_$(basename "$page" .md)
  awk -v file_of="$scratch/$name" '
    /^```cuda$/ { file = file_of (++count) ".cu"; next }
    /^```/ { file = "" }
    file { print > file }' "$page"
  [[ -f $scratch/${name}1.cu ]] || problem "$page: no program between \`\`\`cuda and \`\`\`; show one"
done
units+=("$scratch"/shown_*.cu)
running=()
for unit in "${units[@]}"; do
  "$nvcc" "${options[@]}" "${reads_only[@]}" -c "$unit" -o "$scratch/$(basename "$unit" .cu).o" &
  running+=($!)
done
for i in "${!units[@]}"; do
  wait "${running[i]}" || problem "${units[i]} does not compile without warnings under nvcc"
done
finish "${#units[@]} units$without"
