// expect: sdlora::MambaModel: a head of one's own is called as head\(h, d_h\)
#include <sdlora/model/mamba_model.hpp>

#include <sdlora/adapters/presets.hpp>

using namespace sdlora;

Loss train(MambaModel<presets::AnyMamba, presets::BitFit>& model, const Batch& batch) {
  const auto head = [](MatrixView<const float> h, MatrixView<float> d_h) {
    assign(d_h, h);
#ifndef SDLORA_EXPECT_FAILURE
    return Loss{0.0, h.rows};
#endif
  };
  return model.accumulate_hidden_gradients(batch, batch.last_rows(), head);
}

int main() {}
