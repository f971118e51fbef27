#include <sdlora/layers/mamba/tensors.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <string>
#include <vector>

using namespace sdlora;

namespace {

// Sizes that no other tensor's product equals.
constexpr MambaDimensions m{
    .d_model = 10, .n_layer = 3, .vocab_size = 19, .dt_rank = 3, .d_inner = 21, .d_state = 5, .d_conv = 4};
constexpr MambaDimensions biased = [] {
  MambaDimensions result = m;
  result.use_bias = true;
  result.tied_head = false;
  return result;
}();

// By hand: norm, in_proj, conv and its bias, x_proj, dt_proj and its bias, A_log, D, out_proj.
constexpr std::size_t block = 10 + 42 * 10 + 21 * 4 + 21 + 13 * 21 + 21 * 3 + 21 + 21 * 5 + 21 + 10 * 21;
static_assert(total_parameters(m) == 19 * 10 + 3 * block + 10);
static_assert(total_parameters(biased) == 2 * 19 * 10 + 3 * (block + 42 + 10) + 10);

static_assert(site_decays<site::InProjX> && site_decays<site::Conv1d> && site_decays<site::Embedding>);
static_assert(site_decays<site::Prefix> && site_decays<site::Prompt> && !site_decays<site::H0>);
static_assert(!site_decays<site::ALog> && !site_decays<site::D> && !site_decays<site::DtBias>);
static_assert(!site_decays<site::ConvBias> && !site_decays<site::Norm> && !site_decays<site::NormF>);

// Every part of a tensor that is a site is in one of the lists, once.
template <class... Sites>
constexpr std::size_t listed(SiteList<Sites...>, std::string_view name) {
  return (std::size_t{0} + ... + std::size_t{Sites::name == name});
}
constexpr bool all_listed = [] {
  for (const auto& facts : mamba_facts) {
    for (const auto& part : facts.parts) {
      if (part.rows != nullptr && !part.site.empty() && listed(MambaLayerSites{}, part.site) != 1)
        return false;
    }
  }
  return true;
}();
static_assert(all_listed);

}  // namespace

TEST_CASE("mamba_tensors: a checkpoint's tensors, their shapes and their order") {
  std::vector<std::string> found;
  const auto add = [&](const std::string& key, const std::vector<std::size_t>& shape) {
    std::string text = key;
    for (const std::size_t extent : shape) text += " " + std::to_string(extent);
    found.push_back(text);
  };
  const auto all = [&](const MambaDimensions& sizes) {
    found.clear();
    for_each_tensor<float, Cpu>(
        sizes, [&](const auto& line) { add(std::string(line.facts.key), line.facts.stored_shape(sizes)); },
        [&](const auto& line, std::size_t l) {
          add(layer_key(l, line.facts.key), line.facts.stored_shape(sizes));
        });
  };
  all(m);
  // As transformers' state_dict names them. Fingerprints of bases depend on this order.
  const std::vector<std::string> expected{"backbone.embeddings.weight 19 10",
                                          "backbone.layers.0.norm.weight 10",
                                          "backbone.layers.0.mixer.A_log 21 5",
                                          "backbone.layers.0.mixer.D 21",
                                          "backbone.layers.0.mixer.conv1d.weight 21 1 4",
                                          "backbone.layers.0.mixer.conv1d.bias 21",
                                          "backbone.layers.0.mixer.in_proj.weight 42 10",
                                          "backbone.layers.0.mixer.x_proj.weight 13 21",
                                          "backbone.layers.0.mixer.dt_proj.weight 21 3",
                                          "backbone.layers.0.mixer.dt_proj.bias 21",
                                          "backbone.layers.0.mixer.out_proj.weight 10 21"};
  REQUIRE(found.size() == 1 + 3 * 10 + 1);
  CHECK(std::vector<std::string>(found.begin(), found.begin() + 11) == expected);
  CHECK(found[11] == "backbone.layers.1.norm.weight 10");
  CHECK(found.back() == "backbone.norm_f.weight 10");

  all(biased);
  REQUIRE(found.size() == 1 + 3 * 12 + 2);
  CHECK(found[7] == "backbone.layers.0.mixer.in_proj.bias 42");
  CHECK(found[12] == "backbone.layers.0.mixer.out_proj.bias 10");
  CHECK(found.back() == "lm_head.weight 19 10");
}

TEST_CASE("mamba_tensors: a site's values are its rows of the tensor that holds it") {
  std::vector<float> values(1000);
  MambaWeights<const float> w;
  w.x_proj = MatrixView<float>(values.data(), 13, 21);
  w.D = {values.data() + 500, 1, 21};
  const auto C = site_values<site::XProjC>(w, m);  // behind dt's 3 rows and B's 5
  CHECK(C.data == values.data() + 8 * 21);
  CHECK(C.rows == 5);
  CHECK(C.cols == 21);
  CHECK(site_values<site::XProjDt>(w, m).rows == 3);
  CHECK(site_values<site::D>(w, m).data == values.data() + 500);
  CHECK_FALSE(site_values<site::H0>(w, m));       // a checkpoint has none
  CHECK_FALSE(site_values<site::InProjX>(w, m));  // not given

  const ModelWeights<const float> above{MatrixView<float>(values.data(), 19, 10),
                                        {values.data() + 200, 1, 10}};
  CHECK(site_values<site::NormF>(above).data == values.data() + 200);
  CHECK(site_values<site::Embedding>(above).rows == 19);
  CHECK_FALSE(site_values<site::Prompt>(above));

  std::vector<float> own(100);
  MambaWeights<float> writable;
  writable.out_proj = {own.data(), 10, 2};
  writable.in_proj_bias = {own.data() + 50, 1, 42};
  const MambaWeights<const float> read = read_only(writable);
  CHECK(read.out_proj.data == own.data());
  CHECK(read.in_proj_bias.cols == 42);
  CHECK_FALSE(read.norm);
}
