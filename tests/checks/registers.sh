# Registers and spills of kernels, for sm_80 and sm_90, against limits just above what was measured with CUDA 13.0: of the
# fused scan (gate, all gradients; 16 states in float and bfloat16, 1, 8, 64 and 256 in bfloat16; without a gate, and a subset
# of the gradients), of the scans of columns and of those on CUB's collectives (recurrences, gradients, values under an
# operator; float, double, bfloat16), and of expressions, with a reduction and without. Registers decide how many blocks share
# a multiprocessor; spills cost memory traffic in the innermost loop. About 90 s of processor time.
source "$(dirname "$0")/common.sh"

nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
[[ -x $nvcc ]] || skip "no nvcc"
if [[ ${1:-} == --one ]]; then
  "$nvcc" -std=c++20 -arch="sm_$2" --expt-relaxed-constexpr -Werror=all-warnings -ccbin "$CXX" -Iinclude \
    -Xptxas -v -cubin "$scratch/kernels.cu" -o "$scratch/kernels_$2.cubin" >"$scratch/$2.log" 2>&1 && exit
  cat "$scratch/$2.log"
  echo "the kernels do not compile for sm_$2"
  exit 1
fi
command -v c++filt >/dev/null || skip "no c++filt (Debian: binutils)"
cat >"$scratch/kernels.cu" <<'CODE'
#include <sdlora/scan/cuda/policies.cuh>
#include <sdlora/scan/cuda/selective_scan.cuh>
#include <sdlora/tensor/cuda/evaluate.cuh>
using namespace sdlora;
using Gradients = SelectiveScanGradients;
template <class IO, int N, bool Gate = true, Gradients Wanted = Gradients::all()>
void use(detail::CudaScanLauncher& launcher, const detail::KernelScanPlan& plan,
         const detail::KernelInputs<IO>& in, const detail::KernelOutputs<IO>& out,
         const detail::KernelGradients<IO>& gradients, float* workspace) {
  detail::run_scan_forward<IO, N, Gate>(launcher, plan, in, out, workspace);
  detail::run_scan_backward<IO, N, Gate, Wanted>(launcher, plan, in, out.checkpoints,
                                                 MatrixView<const IO>(out.out), {}, gradients, workspace);
}
#define USE(IO, ...)                                                                                        \
  template void use<IO, __VA_ARGS__>(detail::CudaScanLauncher&, const detail::KernelScanPlan&,                \
                                     const detail::KernelInputs<IO>&, const detail::KernelOutputs<IO>&,      \
                                     const detail::KernelGradients<IO>&, float*);
USE(float, 16)
USE(BFloat16, 16)
USE(BFloat16, 1)
USE(BFloat16, 8)
USE(BFloat16, 64)
USE(BFloat16, 256)
USE(BFloat16, 16, false)
USE(BFloat16, 16, true, Gradients{.dt = true, .A = AGradient::SelectedChannels})
template <class Problem>
void use_columns(detail::CudaScanLauncher& launcher, const Problem& x, typename Problem::value_type* aggregates) {
  launcher.run<detail::HeadKernel<Problem>>(1, 0, x);
  launcher.run<detail::ColumnKernel<Problem>>(1, 0, x);
  detail::scan_pieces(launcher, x, aggregates);
}
using Recurrence = LinearScanProblem<float>;
using Values = ValueScanProblem<LinearRecurrence<float>>;
template void use_columns(detail::CudaScanLauncher&, const Recurrence&, LinearStep<float>*);
template void use_columns(detail::CudaScanLauncher&, const LinearScanProblem<double>&, LinearStep<double>*);
template void use_columns(detail::CudaScanLauncher&, const LinearGradientProblem<BFloat16>&, LinearStep<float>*);
template void use_columns(detail::CudaScanLauncher&, const Values&, LinearStep<float>*);
template <class Problem, cub::BlockScanAlgorithm... Algorithms>
void use_collectives(const Problem& x, const detail::LookBackTiles<typename Problem::value_type>& tiles) {
  detail::warp_scan_kernel<<<1, 1>>>(x);
  (detail::block_scan_kernel<Algorithms><<<1, 1>>>(x), ...);
  detail::look_back_kernel<<<1, 1>>>(detail::JoinedSteps<Problem>{x}, tiles);
}
using Tiles = detail::LookBackTiles<LinearStep<float>>;
template void use_collectives<Recurrence, cub::BLOCK_SCAN_WARP_SCANS, cub::BLOCK_SCAN_RAKING,
                              cub::BLOCK_SCAN_RAKING_MEMOIZE>(const Recurrence&, const Tiles&);
template void use_collectives<LinearGradientProblem<float>, cub::BLOCK_SCAN_WARP_SCANS>(
    const LinearGradientProblem<float>&, const Tiles&);
template void use_collectives<LinearGradientProblem<BFloat16>, cub::BLOCK_SCAN_WARP_SCANS>(
    const LinearGradientProblem<BFloat16>&, const Tiles&);
template void use_collectives<Values, cub::BLOCK_SCAN_WARP_SCANS>(const Values&, const Tiles&);
template <class T>
void use_expressions(const Tensor<T, Extents<dyn, dyn>, Cuda>& x, Tensor<T, Extents<dyn, dyn>, Cuda>& y) {
  y = silu(x) * y + x;
  y += (x - max(x)) * rsqrt(mean(square(x)));
}
using Matrix = Tensor<float, Extents<dyn, dyn>, Cuda>;
using DoubleMatrix = Tensor<double, Extents<dyn, dyn>, Cuda>;
template void use_expressions(const Matrix&, Matrix&);
template void use_expressions(const DoubleMatrix&, DoubleMatrix&);
CODE

allowed() {  # KERNEL[.gradient|.values].TYPE[.SIZE][.no_gate|.subset].ARCHITECTURE → registers, bytes of spill stores
  case $1 in
    Backward.*.subset.*) echo "168 48" ;;
    Backward.*.no_gate.*) echo "168 72" ;;
    Backward.bfloat16.1.*) echo "144 0" ;;
    Backward.bfloat16.8.80) echo "168 330" ;;
    Backward.bfloat16.8.90) echo "168 210" ;;
    Backward.bfloat16.16.*) echo "168 160" ;;
    Backward.bfloat16.*) echo "168 24" ;;
    Backward.float.*) echo "168 240" ;;
    Forward.*.no_gate.*) echo "96 12" ;;
    Forward.bfloat16.1.*) echo "64 0" ;;
    Forward.bfloat16.8.*) echo "80 12" ;;
    Forward.bfloat16.16.*) echo "96 80" ;;
    Forward.bfloat16.*) echo "96 64" ;;  # strides of what it reads
    Forward.float.*) echo "96 24" ;;
    Aggregate.*) echo "96 0" ;;
    BackwardAggregate.*) echo "96 0" ;;
    Head.*) echo "16 0" ;;
    PieceAggregate.double.* | PieceCarry.double.*) echo "96 0" ;;
    PieceCarry.*) echo "80 0" ;;
    Column.gradient.* | PieceApply.gradient.*) echo "80 0" ;;  # with what stores read loaded ahead
    Column.* | Piece*) echo "64 0" ;;
    Carry.*) echo "40 0" ;;  # strides of what it reads, each counted in 64 bits
    Sum.*) echo "32 0" ;;
    warp_scan.*) echo "32 0" ;;
    block_scan.gradient.*.80) echo "80 0" ;;
    block_scan.*) echo "64 0" ;;
    look_back.*) echo "56 0" ;;
    AssignElements.*) echo "40 0" ;;
    AssignRows.*) echo "32 0" ;;
    *) echo "0 0" ;;
  esac
}

label() {  # LINE ARCHITECTURE: what `allowed` calls the kernel of which a line of ptxas, demangled, speaks
  local line=$1 kernel type=float size="" kind=""
  local kernels='(Forward|BackwardAggregate|Backward|PieceAggregate|PieceApply|PieceCarry|Column|Head|Carry|Sum)Kernel'
  kernels+='|(warp_scan|block_scan|look_back)_kernel|Assign(Elements|Rows)'
  kernel=$(grep -oE "$kernels" <<<"$line" | head -n 1)
  kernel=${kernel%Kernel}
  kernel=${kernel%_kernel}
  [[ $line != *BFloat16* ]] || type=bfloat16
  [[ $line != *double* ]] || type=double
  [[ $line != *LinearGradientProblem* ]] || kernel+=.gradient
  [[ $line != *ValueScanProblem* ]] || kernel+=.values
  # …Kernel<IO, States, Lanes, Gate, Aggregate or gradients>.
  if [[ $line =~ Kernel\<[^,]*,\ ([0-9]+),\ ([0-9]+),\ (true|false)(,\ true\>)? ]]; then
    size=.$((BASH_REMATCH[1] * BASH_REMATCH[2]))
    [[ ${BASH_REMATCH[3]} == true ]] || kind=.no_gate
    [[ -z ${BASH_REMATCH[4]} ]] || kernel=Aggregate
    [[ ! $line =~ Gradients\{[^}]*false ]] || kind=.subset
  fi
  # AssignRows<…, Team>.
  if [[ $line =~ ,\ ([0-9]+)\>,\ sdlora::detail::CudaBlock\> ]]; then size=.${BASH_REMATCH[1]}; fi
  echo "$kernel.$type$size$kind.$2"
}

architectures=(80 90)
spread < <(printf '%s\n' "${architectures[@]}")
((failures == 0)) || finish
count=0
for architecture in "${architectures[@]}"; do
  kernel=""
  spill=0
  while IFS= read -r line; do
    case $line in
      *"Compiling entry function"*EmptyKernel*) kernel="" ;;
      *"Compiling entry function"*) kernel=$(label "$line" "$architecture") ;;
      *"bytes spill stores"*) spill=$(sed -E 's/.* ([0-9]+) bytes spill stores.*/\1/' <<<"$line") ;;
      *"Used "*" registers"*)
        registers=$(sed -E 's/.*Used ([0-9]+) registers.*/\1/' <<<"$line")
        [[ -n $kernel ]] || continue
        read -r most_registers most_spill < <(allowed "$kernel")
        count=$((count + 1))
        printf '%-36s %3d registers (at most %3d), %4d bytes spilled (at most %4d)\n' "$kernel" "$registers" \
          "$most_registers" "$spill" "$most_spill"
        ((registers <= most_registers)) || problem "$kernel uses too many registers"
        ((spill <= most_spill)) || problem "$kernel spills too much"
        ;;
    esac
  done < <(c++filt <"$scratch/$architecture.log")
done
# On each architecture: four kernels of the fused scan for each of seven kinds and one more backward, a sum for each type and
# two carries; five kernels of columns for each of four problems; on CUB's collectives five for one and three for each of three
# others; four of expressions for each type.
((count == 2 * (29 + 4 + 20 + 14 + 8))) || problem "$count kernels were reported, $((2 * (29 + 4 + 20 + 14 + 8))) were expected"
finish "$count kernels"
