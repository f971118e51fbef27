# CUDA units, as far as faults show that are no matter of machine code: that takes minutes and is left to a machine with a GPU;
# registers.sh goes so far with kernels of every kind. For sm_80 the tests, the examples and the benchmarks with all that they
# instantiate: the device's side to PTX that is not optimised, the host's as far as its syntax. For sm_90 both sides' syntax: the
# model's test, the headers of tensor/ and scan/ as host code of one, the benchmark of bench/gpu.sh, the programs of README and
# docs. What wants cuBLASLt is compiled where its header is: that of the toolkit, or of the folder SDLORA_CUBLASLT_INCLUDE.
source "$(dirname "$0")/common.sh"

nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
[[ -x $nvcc ]] || skip "no nvcc"
options=(-std=c++20 --expt-relaxed-constexpr -ccbin "$CXX" -Iinclude "${dependencies[@]}" -Werror=all-warnings
  "-DSDLORA_SOURCE_DIR=\"$PWD\"")
if [[ -n ${SDLORA_CUBLASLT_INCLUDE:-} ]]; then options+=(-isystem "$SDLORA_CUBLASLT_INCLUDE"); fi
# Runs for each line that `spread` is given: ARCHITECTURE:UNIT.
if [[ ${1:-} == --one ]]; then
  unit=${2#*:}
  made=$scratch/$(basename "$unit" .cu)
  if [[ $2 == sm_80:* ]]; then
    options+=(-gencode arch=compute_80,code=compute_80 -Xcicc -O0 -Xcompiler=-fsyntax-only)
  else
    options+=(-arch=sm_90)
    if "$nvcc" --help | grep -e --fdevice-syntax-only >/dev/null; then
      options+=(-fdevice-syntax-only -Xcompiler=-fsyntax-only)
    fi
  fi
  "$nvcc" "${options[@]}" -Itests -Ibench -Iexamples -c -o "$made.o" "$unit" && exit
  echo "$unit does not compile without warnings under nvcc for ${2%%:*}"
  exit 1
fi

units=()
add() {  # ARCHITECTURE UNIT…
  local architecture=$1
  shift
  units+=("${@/#/$architecture:}")
}
add sm_90 tests/cuda/model.cu
without=""
if "$CXX" -E "${dependencies[@]}" -x c++ - <<<'#include <benchmark/benchmark.h>' >/dev/null 2>&1; then
  # The other units of the menu are it once more, with other types.
  add sm_80 bench/train_step_cuda.cu bench/gpu/{menu_bfloat16,scan_variants_cuda}.cu examples/*.cu
else
  without=", without bench/gpu and examples: Google Benchmark is not here (Debian: libbenchmark-dev)"
fi
printf '#include <sdlora/%s>\n' tensor.hpp scan.hpp >"$scratch/host.cu"
echo '#include <cublasLt.h>' >"$scratch/cublaslt.cu"
cublaslt=""
if "$nvcc" "${options[@]}" -E "$scratch/cublaslt.cu" >/dev/null 2>&1; then
  cublaslt=yes
  echo '#include <sdlora/tensor/cuda/cublaslt.cuh>' >>"$scratch/host.cu"
else
  without+=", without cuBLASLt: the toolkit lacks it; SDLORA_CUBLASLT_INCLUDE names a folder of its header"
fi
for unit in tests/cuda/*.cu; do
  [[ $unit != */thrust_host.cu ]] || continue  # which has no device's side
  [[ $unit != */cublaslt.cu || -n $cublaslt ]] || continue
  add sm_80 "$unit"
done
add sm_90 tests/cuda/thrust_host.cu "$scratch/host.cu"
rm -f "$scratch"/shown_*.cu
for page in README.md docs/scan-variants.md; do
  name=shown_$(basename "$page" .md)
  awk -v file_of="$scratch/$name" '
    /^```cuda$/ { file = file_of (++count) ".cu"; next }
    /^```/ { file = "" }
    file { print > file }' "$page"
  [[ -f $scratch/${name}1.cu ]] || problem "$page: no program between \`\`\`cuda and \`\`\`; show one"
done
add sm_90 "$scratch"/shown_*.cu
spread < <(printf '%s\n' "${units[@]}")
finish "${#units[@]} units$without"
