# CUDA units that no target builds: the headers of tensor/ and scan/ compile as host code of one, and the benchmark of
# bench/gpu.sh compiles, instantiations included. Its machine code, a minute's work, is left to a machine with a GPU.
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
  units+=(bench/gpu/*.cu)
else
  without=", without bench/gpu: Google Benchmark is not here (Debian: libbenchmark-dev)"
fi
for folder in tensor scan; do
  printf '#include <sdlora/%s.hpp>\nint main() { return 0; }\n' "$folder" >"$scratch/$folder.cu"
  units+=("$scratch/$folder.cu")
done
running=()
for unit in "${units[@]}"; do
  "$nvcc" "${options[@]}" "${reads_only[@]}" -c "$unit" -o "$scratch/$(basename "$unit" .cu).o" &
  running+=($!)
done
for i in "${!units[@]}"; do
  wait "${running[i]}" || problem "${units[i]} does not compile without warnings under nvcc"
done
finish "${#units[@]} units$without"
