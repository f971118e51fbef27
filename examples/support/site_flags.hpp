#pragma once

#include <sdlora/adapters/options.hpp>
#include <sdlora/training/adamw.hpp>
#include <string>
#include <vector>

#include "command_line.hpp"

namespace sdlora::examples {

/// --layers and --site-rates: what is said of single sites.
class SiteFlags {
 public:
  explicit SiteFlags(CommandLine& command);
  SiteFlags(const SiteFlags&) = delete;
  SiteFlags& operator=(const SiteFlags&) = delete;

  /// Reads them for a placement, in the words of `describe`, of a model of `n_layer` layers, or throws
  /// ArgumentError.
  void apply(const std::string& placement, std::size_t n_layer, AdapterOptions& adapter,
             std::vector<ParameterGroup>& groups) const;

 private:
  std::vector<std::string> layers_, rates_;
};

}  // namespace sdlora::examples
