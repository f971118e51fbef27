#pragma once

#include "../version.hpp"

#include <concepts>
#include <cstddef>
#include <string_view>

namespace sdlora {

/// What a site's values do in the model, which decides the policies that can sit there.
enum class SiteKind {
  Linear,       ///< the weight of y = x·Wᵀ
  ElementWise,  ///< values used one by one: A_log, D, the convolution, biases, norms
  Embedding,    ///< rows that tokens look up, and with a tied head its weight
  State,        ///< a state that a base checkpoint does not have: of the SSM or the convolution
  Prompt,       ///< learned rows before the sequence, once per model
  Prefix,       ///< learned rows before the convolution, in every block
  Scan,         ///< what is added to the scan's output before its gate
};

/// Rows and columns of a site's values. For a linear site (outputs, inputs).
struct SiteShape {
  std::size_t rows = 0;
  std::size_t cols = 0;
  constexpr std::size_t size() const { return rows * cols; }
};

/// What a policy is told of a site before there is a model: enough to count what it learns there.
struct SiteInfo {
  std::string_view name;  ///< as "out_proj"
  SiteKind kind = SiteKind::Linear;
  SiteShape shape = {};
  std::size_t values_per_state = 1;  ///< columns of each state, where there is a row for each channel
};

/// The logical sites of a Mamba block and model, where a policy can be placed. Checkpoints store
/// some of them fused (in_proj holds x and z, x_proj holds dt, B and C); adapters act on the parts.
/// A site is in every block unless it says otherwise.
namespace site {

/// The half of in_proj that the convolution reads, (E, d).
struct InProjX {
  static constexpr std::string_view name = "in_proj_x";
  static constexpr SiteKind kind = SiteKind::Linear;
};
/// The half of in_proj that gates the scan's output, (E, d).
struct InProjZ {
  static constexpr std::string_view name = "in_proj_z";
  static constexpr SiteKind kind = SiteKind::Linear;
};
/// The rows of x_proj that give dt in its low rank, (R, E).
struct XProjDt {
  static constexpr std::string_view name = "x_proj_dt";
  static constexpr SiteKind kind = SiteKind::Linear;
};
/// The rows of x_proj that give B, (N, E).
struct XProjB {
  static constexpr std::string_view name = "x_proj_B";
  static constexpr SiteKind kind = SiteKind::Linear;
};
/// The rows of x_proj that give C, (N, E).
struct XProjC {
  static constexpr std::string_view name = "x_proj_C";
  static constexpr SiteKind kind = SiteKind::Linear;
};
/// From the low rank to dt of every channel, (E, R).
struct DtProj {
  static constexpr std::string_view name = "dt_proj";
  static constexpr SiteKind kind = SiteKind::Linear;
};
/// Added to dt before its softplus, (1, E).
struct DtBias {
  static constexpr std::string_view name = "dt_bias";
  static constexpr SiteKind kind = SiteKind::ElementWise;
};
/// The causal depthwise convolution's taps, (E, K).
struct Conv1d {
  static constexpr std::string_view name = "conv1d";
  static constexpr SiteKind kind = SiteKind::ElementWise;
};
/// The convolution's bias, (1, E).
struct ConvBias {
  static constexpr std::string_view name = "conv_bias";
  static constexpr SiteKind kind = SiteKind::ElementWise;
};
/// log(−A) of the diagonal state matrix, (E, N).
struct ALog {
  static constexpr std::string_view name = "A_log";
  static constexpr SiteKind kind = SiteKind::ElementWise;
};
/// The scan's skip connection, (1, E).
struct D {
  static constexpr std::string_view name = "D";
  static constexpr SiteKind kind = SiteKind::ElementWise;
};
/// From the gated scan back to the residual stream, (d, E).
struct OutProj {
  static constexpr std::string_view name = "out_proj";
  static constexpr SiteKind kind = SiteKind::Linear;
};
/// The RMSNorm before a block, (1, d).
struct Norm {
  static constexpr std::string_view name = "norm";
  static constexpr SiteKind kind = SiteKind::ElementWise;
};
/// The RMSNorm before the head, (1, d); once per model.
struct NormF {
  static constexpr std::string_view name = "norm_f";
  static constexpr SiteKind kind = SiteKind::ElementWise;
};
/// The token embedding, (V, d), and with it a head that is tied to it; once per model.
struct Embedding {
  static constexpr std::string_view name = "embedding";
  static constexpr SiteKind kind = SiteKind::Embedding;
};
/// The SSM's state before the first token, (E, N); zero in a checkpoint.
struct H0 {
  static constexpr std::string_view name = "h0";
  static constexpr SiteKind kind = SiteKind::State;
};
/// The convolution's inputs before the first token, (K − 1, E), oldest first; zero in a checkpoint.
struct Conv0 {
  static constexpr std::string_view name = "conv0";
  static constexpr SiteKind kind = SiteKind::State;
};
/// Rows before every sequence's embeddings, (length, d); once per model.
struct Prompt {
  static constexpr std::string_view name = "prompt";
  static constexpr SiteKind kind = SiteKind::Prompt;
};
/// Rows before the convolution's inputs, (length, E).
struct Prefix {
  static constexpr std::string_view name = "prefix";
  static constexpr SiteKind kind = SiteKind::Prefix;
};

/// What joins the scan's output before its gate, (E, N): y += silu(z) ∘ what a policy makes of the scan's
/// inputs.
struct Scan {
  static constexpr std::string_view name = "scan";
  static constexpr SiteKind kind = SiteKind::Scan;
};

}  // namespace site

/// A type that names a place in the model where a policy can sit.
template <class S>
concept Site = requires {
  { S::name } -> std::convertible_to<std::string_view>;
  { S::kind } -> std::convertible_to<SiteKind>;
};

/// An element-wise site with a row for each channel of an SSM and so many columns for each of its states:
/// where dimensions can be selected and low rank saves something. A complex value has two.
template <class S>
concept StateSite = Site<S> && requires {
  { S::values_per_state } -> std::convertible_to<std::size_t>;
};

/// A list of sites.
template <Site... Sites>
struct SiteList {};

static_assert(Site<site::ALog>);

}  // namespace sdlora
