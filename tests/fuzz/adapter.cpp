#include "target.hpp"

#include <sdlora/adapters/methods.hpp>
#include <sdlora/io/adapter.hpp>
#include <sdlora/io/base_checkpoint.hpp>
#include <sdlora/model/mamba_model.hpp>
#include <sdlora/training/checkpoint.hpp>

namespace fuzz_adapter {

using namespace sdlora;
using C = presets::AnyMamba;
/// Every kind of size that a file can ask for.
using P = Place<On<site::OutProj, LoRA<>>, On<site::InProjX, VeRA<>>, On<site::ALog, SelectedDimensions<>>,
                On<site::XProjB, SelectedDimensions<>>, On<site::Prompt, PromptTuning<>>>;
using Model = MambaModel<C, P>;

std::shared_ptr<const Base<C>> base() {
  static const auto loaded = load_base<C>(fuzz::reference("one_layer"));
  return loaded;
}

Model model(std::size_t rank, std::size_t channels) {
  const MambaDimensions& m = base()->dimensions();
  std::vector<double> change(m.d_inner * m.d_state);
  for (std::size_t i = 0; i < change.size(); ++i) change[i] = static_cast<double>(i * 7 % 11);
  Selection selection{m.d_inner, m.d_state, {}};
  for (std::size_t l = 0; l < m.n_layer; ++l) {
    selection.layers.push_back(
        select_layer(MatrixView<const double>(change.data(), m.d_inner, m.d_state), channels, 2));
  }
  return {base(), selection,
          AdapterOptions{LoRAOptions{.rank = rank}, options_at<site::InProjX>(VeRAOptions{.rank = rank}),
                         SelectedOptions{.channels = channels, .states = 2}, RowsOptions{.prompt_length = 2},
                         Layers<site::OutProj>{0, 1}}};
}

void read_adapter(std::string_view input) {
  fuzz::write("adapter.safetensors", input);
  fuzz::accepted([] { (void)load_adapter<Model>(base(), fuzz::folder()); });
  (void)load_adapter<Model>(base(), fuzz::folder(), BaseFingerprint::Ignored);
}

std::vector<std::string> adapters() {
  std::vector<std::string> all;
  for (const std::size_t size : {std::size_t{1}, std::size_t{3}}) {
    save_adapter(model(size, size + 1), fuzz::folder());
    all.push_back(fuzz::content(fuzz::folder() / "adapter.safetensors"));
  }
  return all;
}

const RunIdentity identity{{"base", "a"}, {"data", "b"}};

ParameterStore<float> store() {
  ParameterStore<float> values(11);
  values.add("layers.0.a", "out_proj", 2, 3, true, 0);
  values.add("b", "norm", 1, 5, false);
  return values;
}

void read_checkpoint(std::string_view input) {
  ParameterStore<float> values = store();
  AdamW<float> optimizer(values);
  (void)load_checkpoint(fuzz::write("checkpoint.safetensors", input), values, optimizer, identity);
  optimizer.step(values, 1e-3);
}

std::vector<std::string> checkpoints() {
  ParameterStore<float> values = store();
  AdamW<float> optimizer(values);
  optimizer.step(values, 1e-3);
  const auto path = fuzz::folder() / "checkpoint.safetensors";
  save_checkpoint(path, values, optimizer, identity);
  return {fuzz::content(path)};
}

[[maybe_unused]] const bool added =
    fuzz::add({"adapter", fuzz::Parts::safetensors, read_adapter, adapters}) &&
    fuzz::add({"checkpoint", fuzz::Parts::safetensors, read_checkpoint, checkpoints});

}  // namespace fuzz_adapter
