// expect: sdlora::MambaModel: a loss of one's own is called as loss\(rows, logits, d_logits\)
#include <sdlora/model/mamba_model.hpp>

#include <sdlora/adapters/presets.hpp>

using namespace sdlora;

#ifdef SDLORA_EXPECT_FAILURE
using Scalar = double;
#else
using Scalar = float;
#endif

/// The model's scalar is float.
Loss none(const LossRows<>& rows, MatrixView<const Scalar>, MatrixView<Scalar>) { return {0.0, rows.size()}; }

Loss evaluate(const MambaModel<presets::AnyMamba, presets::BitFit>& model, const Batch& batch) {
  return model.loss(batch, none);
}

int main() {}
