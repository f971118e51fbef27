#include <sdlora/adapters/presets.hpp>
#include <sdlora/layers/mamba/config.hpp>

#include <doctest/doctest.h>

using namespace sdlora;

namespace {

template <class Preset>
constexpr MambaDimensions of = dimensions(Preset::config);

// The published checkpoints, with the head tied to the embedding (arXiv 2312.00752).
static_assert(total_parameters(of<presets::Mamba130m>) == 129'135'360);
static_assert(total_parameters(of<presets::Mamba370m>) == 371'516'416);
static_assert(total_parameters(of<presets::Mamba790m>) == 793'204'224);
static_assert(total_parameters(of<presets::Mamba1_4b>) == 1'372'178'432);
static_assert(total_parameters(of<presets::Mamba2_8b>) == 2'768'345'600);
// Its head is its own: as published for tiiuae/falcon-mamba-7b.
static_assert(total_parameters(of<presets::FalconMamba7b>) == 7'272'665'088);

// SDLoRA on Mamba-130M (Galim et al., arXiv 2410.09016), and the pair of equal budget.
static_assert(trainable_parameters<presets::SDLoRA<8, 15, 4>>(of<presets::Mamba130m>) == 455'328);
static_assert(trainable_parameters<presets::SDLoRA<8, 15, 2>>(of<presets::Mamba130m>) == 454'608);
static_assert(trainable_parameters<presets::SDLoRA<8, 15, 1>>(of<presets::Mamba130m>) == 454'248);
static_assert(trainable_parameters<presets::SDLoRA<9, 15, 4>>(of<presets::Mamba130m>) == 510'624);
static_assert(trainable_parameters<presets::LoRALinear<3>>(of<presets::Mamba130m>) == 497'664);
static_assert(trainable_parameters<presets::FullFineTune>(of<presets::Mamba130m>) == 129'135'360);
static_assert(trainable_parameters<presets::NothingTrains>(of<presets::Mamba130m>) == 0);

// By hand, per layer of d = 768, E = 1536, N = 16, R = 48 (24 layers):
//   bitfit: 2 E;  initial state: E·N;  prefix of M rows: M·E;  prompt of M rows, once: M·d;
//   LoRA on x_proj's parts and dt_proj: r·((R + E) + 2·(N + E) + (E + R)).
static_assert(trainable_parameters<presets::BitFit>(of<presets::Mamba130m>) == 24 * 2 * 1536);
static_assert(trainable_parameters<presets::InitialState>(of<presets::Mamba130m>) == 24 * 1536 * 16);
static_assert(trainable_parameters<presets::Prefix<5>>(of<presets::Mamba130m>) == 24 * 5 * 1536);
static_assert(trainable_parameters<presets::Prompt<5>>(of<presets::Mamba130m>) == 5 * 768);
static_assert(trainable_parameters<presets::LoRASsm<8>>(of<presets::Mamba130m>) ==
              24 * 8 * ((48 + 1536) + 2 * (16 + 1536) + (1536 + 48)));
static_assert(trainable_parameters<presets::LoRAAll<8>>(of<presets::Mamba130m>) ==
              trainable_parameters<presets::LoRASsm<8>>(of<presets::Mamba130m>) +
                  trainable_parameters<presets::LoRALinear<8>>(of<presets::Mamba130m>));

// On in_proj_x, in_proj_z (E, d) and out_proj (d, E): rsLoRA has LoRA's counts; DoRA a magnitude for each
// output besides; VeRA its rank and a factor for each output. (IA)³: a factor for each output of all seven
// projections. State-offset tuning: E·N.
static_assert(trainable_parameters<presets::RsLoRALinear<8>>(of<presets::Mamba130m>) ==
              trainable_parameters<presets::LoRALinear<8>>(of<presets::Mamba130m>));
static_assert(trainable_parameters<presets::DoRALinear<8>>(of<presets::Mamba130m>) ==
              24 * (3 * 8 * (1536 + 768) + 2 * 1536 + 768));
static_assert(trainable_parameters<presets::VeRALinear<256>>(of<presets::Mamba130m>) ==
              24 * (3 * 256 + 2 * 1536 + 768));
static_assert(trainable_parameters<presets::IA3All>(of<presets::Mamba130m>) ==
              24 * (2 * 1536 + (48 + 16 + 16) + 1536 + 768));
static_assert(trainable_parameters<presets::StateOffsetTuning>(of<presets::Mamba130m>) == 24 * 1536 * 16);

// LoRA-FA's B alone: r·out. PiSSA has LoRA's counts. ProDiaL of block size b: out + b·in + r·(in + out).
static_assert(trainable_parameters<presets::LoRAFALinear<8>>(of<presets::Mamba130m>) ==
              24 * 8 * (2 * 1536 + 768));
static_assert(trainable_parameters<presets::PiSSALinear<8>>(of<presets::Mamba130m>) ==
              trainable_parameters<presets::LoRALinear<8>>(of<presets::Mamba130m>));
static_assert(trainable_parameters<presets::ProDiaLLinear<8, 4>>(of<presets::Mamba130m>) ==
              trainable_parameters<presets::LoRALinear<8>>(of<presets::Mamba130m>) +
                  24 * (2 * (1536 + 4 * 768) + 768 + 4 * 1536));
// State offsets of y: E; of low rank: r·(E + N). n additional states: 3·n·E. The window: E·(K − 1).
static_assert(trainable_parameters<presets::StateOffsetTuningY>(of<presets::Mamba130m>) == 24 * 1536);
static_assert(trainable_parameters<presets::LowRankStateOffsetTuning<2>>(of<presets::Mamba130m>) ==
              24 * 2 * (1536 + 16));
static_assert(trainable_parameters<presets::AdditionalStates<8>>(of<presets::Mamba130m>) ==
              24 * 3 * 8 * 1536);
static_assert(trainable_parameters<presets::InitialStateAndWindow>(of<presets::Mamba130m>) ==
              24 * 1536 * (16 + 3));
static_assert(trainable_parameters<presets::S0Tuning>(of<presets::Mamba130m>) == 24 * 1536 * 16);
// SDT has the selected dimensions of SDLoRA, LoRA or DoRA on in_proj and out_proj.
static_assert(trainable_parameters<presets::SDT<8, 15, 4>>(of<presets::Mamba130m>) ==
              455'328 + 24 * 8 * 2 * (1536 + 768));
static_assert(trainable_parameters<presets::SDTDoRA<8, 15, 4>>(of<presets::Mamba130m>) ==
              455'328 + 24 * (8 * 2 * (1536 + 768) + 2 * 1536 + 768));
// Parts as a whole: E·N; E + d and norm_f once; E·(K + 1); (R + 2N)·E; E·(R + 1); E.
static_assert(trainable_parameters<presets::ALogAlone>(of<presets::Mamba130m>) == 24 * 1536 * 16);
static_assert(trainable_parameters<presets::DAndNorms>(of<presets::Mamba130m>) == 24 * (1536 + 768) + 768);
static_assert(trainable_parameters<presets::Convolution>(of<presets::Mamba130m>) == 24 * 1536 * 5);
static_assert(trainable_parameters<presets::XProj>(of<presets::Mamba130m>) == 24 * 80 * 1536);
static_assert(trainable_parameters<presets::DtProj>(of<presets::Mamba130m>) == 24 * 1536 * 49);
static_assert(trainable_parameters<presets::DtBias>(of<presets::Mamba130m>) == 24 * 1536);
static_assert(trainable_parameters<presets::SsmCore<8>>(of<presets::Mamba130m>) ==
              trainable_parameters<presets::LoRALinear<8>>(of<presets::Mamba130m>) + 24 * 1536 * (16 + 2));

static_assert(trainable_parameters<presets::LoRAPeft<8>>(of<presets::Mamba130m>) ==
              24 * 8 * (2 * (1536 + 768) + (48 + 1536) + 2 * (16 + 1536) + (1536 + 16)));

static_assert(of<presets::Mamba130m> == MambaDimensions{768, 24, 50280, 48, 1536, 16, 4, 1e-5});
static_assert(dimensions({.d_model = 17, .n_layer = 1, .vocab_size = 3}).dt_rank == 2);  // rounded up
static_assert(dimensions({.d_model = 17, .n_layer = 1, .vocab_size = 3, .dt_rank = 5}).dt_rank == 5);
static_assert(is_static(presets::Mamba2_8b::config) && is_static(presets::FalconMamba7b::config));
static_assert(!is_static({.d_model = 16, .n_layer = 2, .vocab_size = 9, .expand = dyn}));
static_assert(!is_static(presets::AnyMamba::config));
static_assert(!is_static({.d_model = 16, .n_layer = 2, .vocab_size = 9, .d_state = dyn}));
static_assert(!is_static({.d_model = 16, .n_layer = 2, .vocab_size = 9, .d_conv = dyn}));
static_assert(!is_static({.d_model = 16, .n_layer = 2, .vocab_size = 9, .dt_rank = dyn}));
static_assert(Config<presets::AnyMamba> && !Config<MambaConfig>);

template <class S>
constexpr bool shaped(std::size_t rows, std::size_t cols) {
  const SiteShape shape = site_shape<S>(of<presets::Mamba130m>);
  return shape.rows == rows && shape.cols == cols && shape.size() == rows * cols;
}
static_assert(shaped<site::InProjX>(1536, 768) && shaped<site::InProjZ>(1536, 768) &&
              shaped<site::OutProj>(768, 1536));
static_assert(shaped<site::XProjDt>(48, 1536) && shaped<site::XProjB>(16, 1536) &&
              shaped<site::XProjC>(16, 1536));
static_assert(shaped<site::DtProj>(1536, 48) && shaped<site::DtBias>(1, 1536) && shaped<site::D>(1, 1536));
static_assert(shaped<site::Conv1d>(1536, 4) && shaped<site::ConvBias>(1, 1536) &&
              shaped<site::ALog>(1536, 16));
static_assert(shaped<site::Norm>(1, 768) && shaped<site::NormF>(1, 768) &&
              shaped<site::Embedding>(50280, 768));
static_assert(shaped<site::H0>(1536, 16) && shaped<site::Prompt>(1, 768) && shaped<site::Prefix>(1, 1536));

}  // namespace

TEST_CASE("mamba_config: sizes left to run time give the counts of static ones") {
  const MambaDimensions m = of<presets::Mamba130m>;
  const AdapterOptions sizes{LoRAOptions{.rank = 8}, SelectedOptions{.channels = 15, .states = 4},
                             RowsOptions{.prompt_length = 5}};
  CHECK(trainable_parameters<presets::SDLoRA<>>(m, sizes) == 455'328);
  CHECK(trainable_parameters<presets::SDLoRA<8, dyn, 2>>(m, sizes) == 454'608);
  CHECK(trainable_parameters<presets::LoRAAll<>>(m, sizes) == trainable_parameters<presets::LoRAAll<8>>(m));
  CHECK(trainable_parameters<presets::Prompt<>>(m, sizes) == trainable_parameters<presets::Prompt<5>>(m));
  CHECK(trainable_parameters<presets::Prefix<>>(m, sizes) == trainable_parameters<presets::Prefix<5>>(m));
}

TEST_CASE("mamba_config: one per cent of the channels where none are given") {
  const auto channels = [](std::size_t d_inner) {
    using Policy = SelectedDimensions<>;
    const auto chosen = [](SiteInfo site) { return detail::resolved<Policy>({}, site).channels; };
    const std::size_t found = chosen({"A_log", SiteKind::ElementWise, {d_inner, 16}});
    CHECK(chosen({"x_proj_B", SiteKind::Linear, {16, d_inner}}) == found);
    return found;
  };
  CHECK(channels(1536) == 15);  // as published
  CHECK(channels(2048) == 20);
  CHECK(channels(5120) == 51);
  CHECK(channels(150) >= 1);
  CHECK(channels(20) == 1);
}
