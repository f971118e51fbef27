#include <sdlora/adapters/site.hpp>
#include <sdlora/layers/mamba/config.hpp>

#include <doctest/doctest.h>

#include <set>
#include <string>

using namespace sdlora;

static_assert(Site<site::InProjX> && Site<site::Prefix> && !Site<int> && !Site<SiteKind>);
static_assert(site::XProjB::kind == SiteKind::Linear && site::ALog::kind == SiteKind::ElementWise);
static_assert(site::H0::kind == SiteKind::State && site::Prompt::kind == SiteKind::Prompt);

TEST_CASE("site: every one has its own name") {
  std::set<std::string> names;
  const auto collect = [&]<class... Sites>(SiteList<Sites...>) {
    (names.insert(std::string(Sites::name)), ...);
  };
  collect(MambaLayerSites{});
  collect(MambaModelSites{});
  CHECK(names == std::set<std::string>{"in_proj_x", "in_proj_z", "x_proj_dt", "x_proj_B",  "x_proj_C",
                                       "dt_proj",   "dt_bias",   "conv1d",    "conv_bias", "A_log",
                                       "D",         "out_proj",  "norm",      "norm_f",    "embedding",
                                       "h0",        "conv0",     "prompt",    "prefix",    "scan"});
}
