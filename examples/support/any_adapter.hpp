#pragma once

#include <filesystem>
#include <memory>
#include <sdlora/io/adapter.hpp>

#include "command_line.hpp"
#include "fingerprint_flag.hpp"
#include "placements.hpp"

namespace sdlora::examples {

/// The model of an adapter directory, this library's or peft's. peft's are added to a copy of the base's
/// weights. FileError where it holds neither, and as the readers of both.
std::unique_ptr<Placements::model_type> load_any_adapter(const AnyBasePointer& base,
                                                         const std::filesystem::path& directory,
                                                         BaseFingerprint same = BaseFingerprint::Required);

/// --adapter, a directory, and --ignore-base-fingerprint.
class AdapterFlags {
 public:
  explicit AdapterFlags(CommandLine& command);
  AdapterFlags(const AdapterFlags&) = delete;
  AdapterFlags& operator=(const AdapterFlags&) = delete;

  /// --adapter must be given.
  void required() { option_.required(); }
  bool given() const { return !directory_.empty(); }
  const std::filesystem::path& directory() const { return directory_; }
  /// The adapter's model; without an adapter the base's.
  std::unique_ptr<Placements::model_type> load(const AnyBasePointer& base) const;

 private:
  std::filesystem::path directory_;
  CommandLine::Option option_;
  FingerprintFlag fingerprint_;
};

}  // namespace sdlora::examples
