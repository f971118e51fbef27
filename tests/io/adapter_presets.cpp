// Adapters of every preset and of both precisions come back as they were.
#include "adapter_cases.hpp"

using namespace sdlora;
using namespace sdlora_test;

namespace {

/// Saved from a model of placement P, loaded into one of placement Q.
template <class P, class Q>
void round_trip() {
  CAPTURE(describe<P>());
  const test::Folder folder;
  const auto model = trained<P>();
  save_adapter(model, folder / "new" / "adapter");
  const auto loaded = load_adapter<MambaModel<Tiny, Q, float>>(
      std::shared_ptr<const Base<Tiny, float>>(rough_base<Tiny, float>(tiny_dimensions)),
      folder / "new" / "adapter");
  check_same(model, loaded);
}

}  // namespace

TEST_CASE("adapter: every preset comes back, static and dynamic sizes alike") {
  round_trip<presets::SDLoRA<2, 3, 2>, presets::SDLoRA<>>();
  round_trip<presets::SDLoRA<>, presets::SDLoRA<2, 3, 2>>();
  round_trip<presets::LoRALinear<7>, presets::LoRALinear<>>();
  round_trip<presets::LoRALinear<>, presets::LoRALinear<2>>();
  round_trip<presets::LoRASsm<>, presets::LoRASsm<>>();
  round_trip<presets::LoRAPeft<2>, presets::LoRAPeft<>>();
  round_trip<presets::RsLoRALinear<2>, presets::RsLoRALinear<>>();
  round_trip<presets::DoRALinear<>, presets::DoRALinear<8>>();
  round_trip<presets::VeRALinear<2>, presets::VeRALinear<>>();
  round_trip<presets::IA3All, presets::IA3All>();
  round_trip<presets::StateOffsetTuning, presets::StateOffsetTuning>();
  round_trip<presets::LoRAAll<>, presets::LoRAAll<2>>();
  round_trip<presets::InitialState, presets::InitialState>();
  round_trip<presets::BitFit, presets::BitFit>();
  round_trip<presets::Prompt<5>, presets::Prompt<>>();
  round_trip<presets::Prompt<>, presets::Prompt<3>>();
  round_trip<presets::Prefix<1>, presets::Prefix<>>();
  round_trip<presets::FullFineTune, presets::FullFineTune>();
  round_trip<Everything, Everything>();
}

TEST_CASE("adapter: doubles come back bit for bit") {
  const test::Folder folder;
  const auto model = trained<presets::SDLoRA<>, Tiny, double>();
  save_adapter(model, folder.path());
  CHECK(TensorFile::open(folder / file_name).info("layers.0.out_proj.lora_A").dtype == Dtype::F64);
  check_same(model, load<MambaModel<Tiny, presets::SDLoRA<>, double>>(folder));
}
