# Registers and spills of the scan kernels (gate, all gradients; 16 states in float and bfloat16, 1, 8, 64 and 256 in
# bfloat16), of those that scan columns of given a and b and of those on CUB's collectives, for sm_80 and sm_90, against
# limits just above what was measured with CUDA 13.0. Registers decide how many blocks share a multiprocessor; spills cost
# memory traffic in the innermost loop.
source "$(dirname "$0")/common.sh"

nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
[[ -x $nvcc ]] || skip "no nvcc"
cat >"$scratch/kernels.cu" <<'CODE'
#include <sdlora/scan/cuda/policies.cuh>
#include <sdlora/scan/cuda/selective_scan.cuh>
using namespace sdlora;
template <class IO, int N>
void use(detail::ScanLauncher& launcher, const KernelScanPlan& plan, const KernelScanInputs<IO>& in,
         const KernelScanOutputs<IO>& out, const KernelScanGradientOutputs<IO>& gradients, float* workspace) {
  detail::run_scan_forward<IO, N, true>(launcher, plan, in, out, workspace);
  detail::run_scan_backward<IO, N, true, SelectiveScanGradients::all()>(
      launcher, plan, in, out.checkpoints, MatrixView<const IO>(out.out), nullptr, gradients, workspace);
}
#define USE(IO, N)                                                                                         \
  template void use<IO, N>(detail::ScanLauncher&, const KernelScanPlan&, const KernelScanInputs<IO>&,       \
                           const KernelScanOutputs<IO>&, const KernelScanGradientOutputs<IO>&, float*);
USE(float, 16)
USE(BFloat16, 16)
USE(BFloat16, 1)
USE(BFloat16, 8)
USE(BFloat16, 64)
USE(BFloat16, 256)
template <class Problem>
void use_columns(detail::ScanLauncher& launcher, const Problem& x, typename Problem::value_type* aggregates) {
  launcher.run<detail::ColumnKernel<Problem>>(1, 0, x);
  detail::scan_pieces(launcher, x, aggregates);
}
using Recurrence = LinearScanProblem<float>;
template void use_columns(detail::ScanLauncher&, const Recurrence&, LinearStep<float>*);
template void use_columns(detail::ScanLauncher&, const LinearGradientProblem<BFloat16>&, LinearStep<float>*);
template __global__ void detail::warp_scan_kernel(Recurrence);
template __global__ void detail::block_scan_kernel<cub::BLOCK_SCAN_WARP_SCANS>(Recurrence);
template __global__ void detail::block_scan_kernel<cub::BLOCK_SCAN_RAKING>(Recurrence);
template __global__ void detail::block_scan_kernel<cub::BLOCK_SCAN_RAKING_MEMOIZE>(Recurrence);
template __global__ void detail::look_back_kernel(detail::JoinedSteps<Recurrence>,
                                                  detail::LookBackTiles<LinearStep<float>>);
CODE

allowed() {  # KERNEL.IO[.STATES].ARCHITECTURE → registers, bytes of spill stores
  case $1 in
    Backward.bfloat16.1.*) echo "144 0" ;;
    Backward.bfloat16.8.80) echo "168 330" ;;
    Backward.bfloat16.8.90) echo "168 210" ;;
    Backward.bfloat16.16.*) echo "168 160" ;;
    Backward.bfloat16.*) echo "168 24" ;;
    Backward.float.*) echo "168 240" ;;
    Forward.bfloat16.1.*) echo "64 0" ;;
    Forward.bfloat16.8.*) echo "80 12" ;;
    Forward.bfloat16.16.*) echo "96 80" ;;
    Forward.bfloat16.*) echo "96 24" ;;
    Forward.float.*) echo "96 16" ;;
    Aggregate.*) echo "96 0" ;;
    BackwardAggregate.*) echo "96 0" ;;
    PieceCarry.*) echo "80 0" ;;
    Column.bfloat16.* | PieceApply.bfloat16.*) echo "80 0" ;;  # gradients, with what stores read loaded ahead
    Column.* | Piece*) echo "64 0" ;;
    Carry.*.80) echo "40 0" ;;
    Carry.* | Sum.*) echo "32 0" ;;
    warp_scan.*) echo "32 0" ;;
    block_scan.*) echo "64 0" ;;
    look_back.*) echo "56 0" ;;
    *) echo "0 0" ;;
  esac
}

count=0
for architecture in 80 90; do
  log=$scratch/$architecture.log
  "$nvcc" -std=c++20 -arch="sm_$architecture" --expt-relaxed-constexpr -Werror=all-warnings -ccbin "$CXX" -Iinclude \
    -Xptxas -v -cubin "$scratch/kernels.cu" -o "$scratch/kernels_$architecture.cubin" >"$log" 2>&1 ||
    { cat "$log"; problem "the kernels do not compile for sm_$architecture"; continue; }
  kernel=""
  spill=0
  while IFS= read -r line; do
    case $line in
      *"Compiling entry function"*EmptyKernel*) kernel="" ;;
      *"Compiling entry function"*)
        kernel=$(grep -oE '(Forward|BackwardAggregate|Backward|PieceAggregate|PieceApply|PieceCarry|Column|Carry|Sum)Kernel|(warp_scan|block_scan|look_back)_kernel' <<<"$line" | head -n 1)
        kernel=${kernel%Kernel}
        kernel=${kernel%_kernel}
        # ForwardKernel<IO, States, Lanes, Gate, Aggregate>, as mangled names have it.
        [[ $kernel != Forward || $line != *Lb1ELb1EE* ]] || kernel=Aggregate
        io=float
        [[ $line != *BFloat16* ]] || io=bfloat16
        states=""
        if [[ $kernel =~ Forward|Backward|^Aggregate && $line =~ ELi([0-9]+)ELi([0-9]+)E|fLi([0-9]+)ELi([0-9]+)E ]]; then
          states=.$(( (BASH_REMATCH[1] + BASH_REMATCH[3]) * (BASH_REMATCH[2] + BASH_REMATCH[4]) ))
        fi
        kernel=$kernel.$io$states.$architecture
        ;;
      *"bytes spill stores"*) spill=$(sed -E 's/.* ([0-9]+) bytes spill stores.*/\1/' <<<"$line") ;;
      *"Used "*" registers"*)
        registers=$(sed -E 's/.*Used ([0-9]+) registers.*/\1/' <<<"$line")
        [[ -n $kernel ]] || continue
        read -r most_registers most_spill < <(allowed "$kernel")
        count=$((count + 1))
        printf '%-34s %3d registers (at most %3d), %4d bytes spilled (at most %4d)\n' "$kernel" "$registers" \
          "$most_registers" "$spill" "$most_spill"
        ((registers <= most_registers)) || problem "$kernel uses too many registers"
        ((spill <= most_spill)) || problem "$kernel spills too much"
        ;;
    esac
  done <"$log"
done
# On each architecture: four scan kernels of six numbers of states, a sum and four kernels of columns for each type, two
# carries, five on CUB's collectives.
((count == 82)) || problem "$count kernels were reported, 82 were expected"
finish "$count kernels"
