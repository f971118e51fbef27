#pragma once

#include "../../adapters/place.hpp"
#include "../../adapters/policy.hpp"
#include "../../error.hpp"
#include "../../tensor/extents.hpp"
#include "dimensions.hpp"
#include "tensors.hpp"

#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>

namespace sdlora {

/// As `mixer_norm_epsilon` of a configuration's type: the checkpoint says whether there are such norms.
inline constexpr double open_mixer_norm = -1.0;

/// The sizes of a Mamba language model. A structural aggregate; sizes that are `dyn` come from the
/// checkpoint at run time. Kernels unroll d_state and d_conv. Where these are `dyn`, the scan chooses its
/// kernel in the call (8, 16 and 64 states have one each, others share one), and so does the convolution.
struct MambaConfig {
  std::size_t d_model = dyn;
  std::size_t n_layer = dyn;
  std::size_t vocab_size = dyn;
  std::size_t dt_rank = 0;  ///< 0: ceil(d_model / 16)
  std::size_t d_state = 16;
  std::size_t d_conv = 4;  ///< dyn: 2 to 4, as the checkpoint says
  std::size_t expand = 2;  ///< dyn: the checkpoint says d_inner, which then need not be a multiple
  double norm_epsilon = 1e-5;
  /// Of the weightless RMSNorms on x_proj's dt, B and C, as in Falcon-Mamba (arXiv 2410.05355). 0: none, as
  /// in Mamba; positive: always; `open_mixer_norm`: where the checkpoint has them. The value itself is the
  /// checkpoint's.
  double mixer_norm_epsilon = 0.0;
  bool tied_head = true;  ///< whether the head is the embedding; the checkpoint decides
  bool use_bias = false;  ///< whether in_proj and out_proj have biases; the checkpoint decides
};

/// A type that carries a MambaConfig, as presets::Mamba130m.
template <class C>
concept Config = requires {
  { C::config } -> std::convertible_to<MambaConfig>;
};

/// Whether every size is known at compile time.
constexpr bool is_static(const MambaConfig& c) {
  return c.d_model != dyn && c.n_layer != dyn && c.vocab_size != dyn && c.dt_rank != dyn &&
         c.d_state != dyn && c.d_conv != dyn && c.expand != dyn;
}

/// All dimensions of a fully static configuration.
constexpr MambaDimensions dimensions(const MambaConfig& c) {
  return {c.d_model,
          c.n_layer,
          c.vocab_size,
          c.dt_rank == 0 ? (c.d_model + 15) / 16 : c.dt_rank,
          c.expand * c.d_model,
          c.d_state,
          c.d_conv,
          c.norm_epsilon,
          c.mixer_norm_epsilon,
          c.tied_head,
          c.use_bias};
}

namespace detail {

/// Asserts what the kernels need of a configuration's type.
template <Config C>
struct KernelSizes {
  static constexpr bool valid = true;
  static_assert(
      C::config.d_state > 0 && C::config.d_conv > 0 && C::config.expand > 0,
      "sdlora: d_state, d_conv and expand of a MambaConfig must be at least 1; with a d_conv of 1 the "
      "convolution reads no earlier token");
};

}  // namespace detail

/// A site as policies are told of it.
template <Site S>
constexpr SiteInfo site_info(const MambaDimensions& m) {
  return {S::name, S::kind, site_shape<S>(m)};
}

namespace detail {

/// How many values the policy P learns at site S in one layer (or model); without options as its types say.
template <Site S, class P>
constexpr std::size_t count_at(const MambaDimensions& m, const AdapterOptions* options) {
  const SiteInfo site = site_info<S>(m);
  if (options == nullptr) return P::count(site, resolved<P>(typename P::options{}, site));
  return P::count(site, resolved<P>(options->of<typename P::options>(S::name), site));
}

template <class P, class... Sites>
constexpr std::size_t count_sites(SiteList<Sites...>, const MambaDimensions& m,
                                  const AdapterOptions* options) {
  return (std::size_t{0} + ... + count_at<Sites, typename P::template policy_at<Sites>>(m, options));
}

/// In how many of a model's layers a site may learn.
inline std::size_t active_layers(const AdapterOptions& options, std::string_view site, std::size_t n_layer) {
  std::size_t active = 0;
  for (std::size_t l = 0; l < n_layer; ++l) active += options.active(site, l);
  return active;
}

/// Sum over sites of the count per layer times the number of layers where the site is active.
template <class P, class... Sites>
std::size_t count_active(SiteList<Sites...>, const MambaDimensions& m, const AdapterOptions& options) {
  return (std::size_t{0} + ... +
          (active_layers(options, Sites::name, m.n_layer) *
           count_at<Sites, typename P::template policy_at<Sites>>(m, &options)));
}

}  // namespace detail

/// How many values learn under a placement whose types know all sizes, in every layer.
template <Placement P>
constexpr std::size_t trainable_parameters(const MambaDimensions& m) {
  static_assert(
      P::is_static,
      "sdlora::trainable_parameters: this placement leaves sizes to run time; pass the AdapterOptions "
      "that say them");
  return m.n_layer * detail::count_sites<P>(MambaLayerSites{}, m, nullptr) +
         detail::count_sites<P>(MambaModelSites{}, m, nullptr);
}

/// The same where `options` say the sizes that its types leave open. Throws ArgumentError where one of them
/// makes no sense.
template <Placement P>
std::size_t trainable_parameters(const MambaDimensions& m, const AdapterOptions& options) {
  return m.n_layer * detail::count_sites<P>(MambaLayerSites{}, m, &options) +
         detail::count_sites<P>(MambaModelSites{}, m, &options);
}

namespace presets {

/// The published checkpoints (arXiv 2312.00752), with the vocabulary padded as they store it.
/// @{
struct Mamba130m {
  static constexpr MambaConfig config{.d_model = 768, .n_layer = 24, .vocab_size = 50280};
};
struct Mamba370m {
  static constexpr MambaConfig config{.d_model = 1024, .n_layer = 48, .vocab_size = 50280};
};
struct Mamba790m {
  static constexpr MambaConfig config{.d_model = 1536, .n_layer = 48, .vocab_size = 50280};
};
struct Mamba1_4b {
  static constexpr MambaConfig config{.d_model = 2048, .n_layer = 48, .vocab_size = 50280};
};
struct Mamba2_8b {
  static constexpr MambaConfig config{.d_model = 2560, .n_layer = 64, .vocab_size = 50280};
};
/// @}
/// Falcon-Mamba (arXiv 2410.05355): Mamba with norms of dt, B and C and a head of its own.
struct FalconMamba7b {
  static constexpr MambaConfig config{
      .d_model = 4096, .n_layer = 64, .vocab_size = 65024, .mixer_norm_epsilon = 1e-6, .tied_head = false};
};
/// Mamba or Falcon-Mamba of any size, read from the checkpoint: any number of states, convolutions of 2 to 4.
struct AnyMamba {
  static constexpr MambaConfig config{
      .dt_rank = dyn, .d_state = dyn, .d_conv = dyn, .expand = dyn, .mixer_norm_epsilon = open_mixer_norm};
};

}  // namespace presets

}  // namespace sdlora
