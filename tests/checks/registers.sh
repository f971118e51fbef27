# Registers and spills of the kernels for sm_80 and sm_90: none may spill more than its line below allows,
# and none may use so many registers that fewer blocks fit than its kernel is written for.
source "$(dirname "$0")/common.sh"

nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
[[ -x $nvcc ]] || skip "no nvcc"
cat >"$scratch/kernels.cu" <<'CODE'
#include <sdlora/scan/cuda/selective_scan.cuh>
using namespace sdlora;
template <class IO>
void use(const KernelScanPlan& plan, const KernelScanInputs<IO>& in, const KernelScanOutputs<IO>& out,
         const KernelScanGradients<IO>& gradients, float* workspace) {
  cuda_selective_scan_forward<16>(nullptr, plan, in, out, workspace);
  cuda_selective_scan_backward<KernelScanGradient::all, 16>(nullptr, plan, in, out.checkpoints,
                                                            MatrixView<const IO>(out.out), nullptr, gradients, workspace);
}
template void use(const KernelScanPlan&, const KernelScanInputs<float>&, const KernelScanOutputs<float>&,
                  const KernelScanGradients<float>&, float*);
template void use(const KernelScanPlan&, const KernelScanInputs<BFloat16>&, const KernelScanOutputs<BFloat16>&,
                  const KernelScanGradients<BFloat16>&, float*);
CODE

allowed() {  # KERNEL → registers, bytes spilled
  case $1 in
    BackwardKernel) echo "168 1024" ;;  # bf16 on sm_90 spilled 382 to 632: the price of three blocks a multiprocessor
    ForwardKernel) echo "102 64" ;;
    *) echo "128 0" ;;
  esac
}

count=0
for architecture in 80 90; do
  "$nvcc" -std=c++20 -arch="sm_$architecture" --expt-relaxed-constexpr -Werror=all-warnings -ccbin "$CXX" -Iinclude \
    -Xptxas -v -cubin "$scratch/kernels.cu" -o "$scratch/kernels_$architecture.cubin" >"$scratch/$architecture.log" 2>&1 ||
    { cat "$scratch/$architecture.log"; problem "the kernels do not compile for sm_$architecture"; continue; }
  kernel=""
  while IFS= read -r line; do
    case $line in
      *"Compiling entry function"*)
        kernel=$(grep -oE '(Forward|BackwardAggregate|Backward|Carry|Sum)Kernel' <<<"$line" | head -n 1)
        read -r most_registers most_spill < <(allowed "$kernel")
        ;;
      *"bytes spill stores"*)
        spill=$(sed -E 's/.* ([0-9]+) bytes spill stores.*/\1/' <<<"$line")
        ((spill <= most_spill)) || problem "sm_$architecture $kernel spills $spill bytes; at most $most_spill are allowed"
        ;;
      *"Used "*" registers"*)
        registers=$(sed -E 's/.*Used ([0-9]+) registers.*/\1/' <<<"$line")
        count=$((count + 1))
        ((registers <= most_registers)) ||
          problem "sm_$architecture $kernel uses $registers registers; at most $most_registers are allowed"
        ;;
    esac
  done <"$scratch/$architecture.log"
done
((count > 0)) || problem "no kernel was reported"
finish "$count kernels"
