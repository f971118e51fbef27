# Registers and spills of the main scan kernels (16 states, gate, all gradients; float and bfloat16) and of those that
# scan columns of given a and b, for sm_80 and sm_90, against limits just above what was measured with CUDA 13.0.
# Registers decide how many blocks share a multiprocessor; spills cost memory traffic in the innermost loop.
source "$(dirname "$0")/common.sh"

nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
[[ -x $nvcc ]] || skip "no nvcc"
cat >"$scratch/kernels.cu" <<'CODE'
#include <sdlora/scan/cuda/selective_scan.cuh>
#include <sdlora/scan/detail/kernel_columns.hpp>
using namespace sdlora;
template <class IO>
void use(detail::ScanLauncher& launcher, const KernelScanPlan& plan, const KernelScanInputs<IO>& in,
         const KernelScanOutputs<IO>& out, const KernelScanGradients<IO>& gradients, float* workspace) {
  detail::run_scan_forward<IO, 16, true>(launcher, plan, in, out, workspace);
  detail::run_scan_backward<IO, 16, true, KernelScanGradient::all>(
      launcher, plan, in, out.checkpoints, MatrixView<const IO>(out.out), nullptr, gradients, workspace);
}
template void use(detail::ScanLauncher&, const KernelScanPlan&, const KernelScanInputs<float>&,
                  const KernelScanOutputs<float>&, const KernelScanGradients<float>&, float*);
template void use(detail::ScanLauncher&, const KernelScanPlan&, const KernelScanInputs<BFloat16>&,
                  const KernelScanOutputs<BFloat16>&, const KernelScanGradients<BFloat16>&, float*);
template <class Problem>
void use_columns(detail::ScanLauncher& launcher, const Problem& x, typename Problem::value_type* aggregates) {
  launcher.run<detail::ColumnKernel<Problem>>(1, 0, x);
  detail::scan_pieces(launcher, x, aggregates);
}
template void use_columns(detail::ScanLauncher&, const LinearScanProblem<float>&, LinearStep<float>*);
template void use_columns(detail::ScanLauncher&, const LinearGradientProblem<BFloat16>&, LinearStep<float>*);
CODE

allowed() {  # KERNEL.IO.ARCHITECTURE → registers, bytes of spill stores
  case $1 in
    Backward.bfloat16.*) echo "168 160" ;;
    Backward.float.*) echo "168 240" ;;
    Forward.bfloat16.*) echo "96 80" ;;
    Forward.float.*) echo "96 16" ;;
    Aggregate.*) echo "96 0" ;;
    BackwardAggregate.*) echo "96 0" ;;
    PieceCarry.*) echo "80 0" ;;
    Column.* | Piece*) echo "64 0" ;;
    Carry.*.80) echo "40 0" ;;
    Carry.* | Sum.*) echo "32 0" ;;
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
      *"Compiling entry function"*)
        kernel=$(grep -oE '(Forward|BackwardAggregate|Backward|PieceAggregate|PieceApply|PieceCarry|Column|Carry|Sum)Kernel' <<<"$line" | head -n 1)
        kernel=${kernel%Kernel}
        # ForwardKernel<IO, States, Lanes, Gate, Aggregate>, as mangled names have it.
        [[ $kernel != Forward || $line != *Lb1ELb1EE* ]] || kernel=Aggregate
        io=float
        [[ $line != *BFloat16* ]] || io=bfloat16
        kernel=$kernel.$io.$architecture
        ;;
      *"bytes spill stores"*) spill=$(sed -E 's/.* ([0-9]+) bytes spill stores.*/\1/' <<<"$line") ;;
      *"Used "*" registers"*)
        registers=$(sed -E 's/.*Used ([0-9]+) registers.*/\1/' <<<"$line")
        read -r most_registers most_spill < <(allowed "$kernel")
        count=$((count + 1))
        printf '%-30s %3d registers (at most %3d), %4d bytes spilled (at most %4d)\n' "$kernel" "$registers" \
          "$most_registers" "$spill" "$most_spill"
        ((registers <= most_registers)) || problem "$kernel uses too many registers"
        ((spill <= most_spill)) || problem "$kernel spills too much"
        ;;
    esac
  done <"$log"
done
# Four scan kernels, a sum and four kernels of columns for each type, two carries: on each architecture.
((count == 40)) || problem "$count kernels were reported, 40 were expected"
finish "$count kernels"
