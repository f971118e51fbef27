// A base of other kernel sizes than the published ones (d_state 16, d_conv 4, expand 2) is written, read and
// used.
#include "io/support.hpp"
#include "support/tiny_models.hpp"

#include <sdlora/adapters/presets.hpp>
#include <sdlora/io/base_checkpoint.hpp>

#include <doctest/doctest.h>

using namespace sdlora;
using namespace sdlora_test;

namespace {

struct OtherSizes {
  static constexpr MambaConfig config{
      .d_model = 6, .n_layer = 2, .vocab_size = 11, .dt_rank = 2, .d_state = 5, .d_conv = 3, .expand = 3};
};

/// Of the published kernel sizes.
struct Published {
  static constexpr MambaConfig config{.dt_rank = dyn, .expand = dyn};
};

}  // namespace

TEST_CASE("a base of other kernel sizes comes back from its file, for its own type and for any") {
  const test::Folder folder;
  const auto base = rough_base<OtherSizes, float>(dimensions(OtherSizes::config));
  save_base(*base, folder.path());
  const auto back = load_base<OtherSizes>(folder.path());
  CHECK(back->dimensions() == base->dimensions());
  MambaModel<OtherSizes, presets::BitFit> before(base), after(back);
  const Batch batch = some_batch({7, 3}, 11);
  CHECK(before.loss(batch).sum == after.loss(batch).sum);
  CHECK(after.accumulate_gradients(batch, 1.0).sum > 0.0);
  const auto any = load_base<presets::AnyMamba>(folder.path());
  CHECK(any->dimensions() == base->dimensions());
  test::check_error<FileError>([&] { load_base<Published>(folder.path()); },
                               {"config.json", "field state_size: expected 16", "found 5", "MambaConfig"});
}
