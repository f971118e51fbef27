#include <sdlora/adapters/presets.hpp>
#include <sdlora/layers/mamba/config.hpp>

#include <doctest/doctest.h>

#include <set>
#include <string>

using namespace sdlora;

namespace {

template <class P>
std::set<std::string> learning_sites() {
  std::set<std::string> names;
  const auto collect = [&]<class... Sites>(SiteList<Sites...>) {
    ((P::template learns_at<Sites> ? (void)names.insert(std::string(Sites::name)) : void()), ...);
  };
  collect(MambaLayerSites{});
  collect(MambaModelSites{});
  return names;
}
using Names = std::set<std::string>;

static_assert(presets::SDLoRA<8, 15, 4>::selects && !presets::LoRAAll<8>::selects);
static_assert(presets::SDLoRA<8, 15, 4>::is_static && !presets::SDLoRA<>::is_static &&
              !presets::SDLoRA<8>::is_static && !presets::SDLoRA<8, 15>::is_static);
static_assert(presets::BitFit::is_static && presets::FullFineTune::is_static &&
              presets::InitialState::is_static && presets::IA3All::is_static &&
              presets::StateOffsetTuning::is_static);
static_assert(presets::DoRALinear<8>::is_static && !presets::DoRALinear<>::is_static &&
              !presets::RsLoRALinear<>::is_static && presets::VeRALinear<256>::is_static);
static_assert(presets::LoRAFALinear<8>::is_static && !presets::PiSSALinear<>::is_static &&
              presets::ProDiaLLinear<8, 4>::is_static && !presets::ProDiaLLinear<8>::is_static &&
              presets::LowRankStateOffsetTuning<2>::is_static && presets::SDT<8, 15, 4>::is_static);
static_assert(presets::LoRAFALinear<>::mergeable && presets::PiSSALinear<>::mergeable &&
              presets::ProDiaLLinear<>::mergeable && presets::SDTDoRA<>::mergeable &&
              presets::SsmCore<>::mergeable && !presets::StateOffsetTuningY::mergeable &&
              !presets::LowRankStateOffsetTuning<>::mergeable && !presets::InitialStateAndWindow::mergeable &&
              !presets::S0Tuning::mergeable && !presets::AdditionalStates<>::mergeable);
static_assert(presets::SDT<>::selects && presets::SDTDoRA<>::selects);
static_assert(presets::Prompt<3>::is_static && !presets::Prefix<>::is_static);
static_assert(!presets::NothingTrains::learns && presets::FullFineTune::learns);
static_assert(presets::DoRALinear<>::mergeable && presets::RsLoRALinear<>::mergeable &&
              presets::VeRALinear<>::mergeable && presets::IA3All::mergeable &&
              !presets::StateOffsetTuning::mergeable);
static_assert(presets::FullFineTune::mergeable && presets::SDLoRA<>::mergeable && presets::BitFit::mergeable);

}  // namespace

TEST_CASE("presets: which sites learn") {
  CHECK(learning_sites<presets::SDLoRA<>>() == Names{"out_proj", "A_log", "x_proj_B", "x_proj_C"});
  CHECK(learning_sites<presets::LoRALinear<>>() == Names{"in_proj_x", "in_proj_z", "out_proj"});
  CHECK(learning_sites<presets::LoRAPeft<>>() ==
        Names{"in_proj_x", "in_proj_z", "x_proj_dt", "x_proj_B", "x_proj_C", "A_log"});
  CHECK(learning_sites<presets::LoRASsm<>>() == Names{"x_proj_dt", "x_proj_B", "x_proj_C", "dt_proj"});
  Names both = learning_sites<presets::LoRALinear<>>();
  both.merge(learning_sites<presets::LoRASsm<>>());
  CHECK(learning_sites<presets::LoRAAll<>>() == both);
  const Names linear = learning_sites<presets::LoRALinear<>>();
  CHECK(learning_sites<presets::RsLoRALinear<>>() == linear);
  CHECK(learning_sites<presets::DoRALinear<>>() == linear);
  CHECK(learning_sites<presets::VeRALinear<>>() == linear);
  CHECK(learning_sites<presets::LoRAFALinear<>>() == linear);
  CHECK(learning_sites<presets::PiSSALinear<>>() == linear);
  CHECK(learning_sites<presets::ProDiaLLinear<>>() == linear);
  Names sdt = learning_sites<presets::SDLoRA<>>();
  sdt.insert({"in_proj_x", "in_proj_z"});
  CHECK(learning_sites<presets::SDT<>>() == sdt);
  CHECK(learning_sites<presets::SDTDoRA<>>() == sdt);
  CHECK(learning_sites<presets::ALogAlone>() == Names{"A_log"});
  CHECK(learning_sites<presets::DAndNorms>() == Names{"D", "norm", "norm_f"});
  CHECK(learning_sites<presets::Convolution>() == Names{"conv1d", "conv_bias"});
  CHECK(learning_sites<presets::XProj>() == Names{"x_proj_dt", "x_proj_B", "x_proj_C"});
  CHECK(learning_sites<presets::DtProj>() == Names{"dt_proj", "dt_bias"});
  CHECK(learning_sites<presets::DtBias>() == Names{"dt_bias"});
  Names core = linear;
  core.insert({"A_log", "D", "dt_bias"});
  CHECK(learning_sites<presets::SsmCore<>>() == core);
  CHECK(learning_sites<presets::IA3All>() == both);
  CHECK(learning_sites<presets::StateOffsetTuning>() == Names{"scan"});
  CHECK(learning_sites<presets::StateOffsetTuningY>() == Names{"scan"});
  CHECK(learning_sites<presets::LowRankStateOffsetTuning<>>() == Names{"scan"});
  CHECK(learning_sites<presets::AdditionalStates<>>() == Names{"scan"});
  CHECK(learning_sites<presets::InitialState>() == Names{"h0"});
  CHECK(learning_sites<presets::InitialStateAndWindow>() == Names{"h0", "conv0"});
  CHECK(learning_sites<presets::S0Tuning>() == Names{"h0"});
  CHECK(learning_sites<presets::BitFit>() == Names{"conv_bias", "dt_bias"});
  CHECK(learning_sites<presets::Prompt<>>() == Names{"prompt"});
  CHECK(learning_sites<presets::Prefix<>>() == Names{"prefix"});
  CHECK(learning_sites<presets::NothingTrains>().empty());
  const Names full = learning_sites<presets::FullFineTune>();
  CHECK(full.size() == 15);  // all but h0, conv0, prompt, prefix and the scan, which no checkpoint has
  CHECK(!full.contains("h0"));
}
