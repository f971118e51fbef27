#pragma once

#include <sdlora/error.hpp>
#include <sdlora/model/fingerprint.hpp>
#include <string>
#include <utility>

#include "command_line.hpp"

namespace sdlora::examples {

/// --ignore-base-fingerprint, beside the flag that names an adapter.
class FingerprintFlag {
 public:
  /// `adapter_flag` as "--adapter".
  FingerprintFlag(CommandLine& command, std::string adapter_flag) : adapter_flag_(std::move(adapter_flag)) {
    command.flag(
        "--ignore-base-fingerprint", ignored_,
        "take an adapter though the base has other weights than those it was trained on: right for a rounded "
        "copy of that base (bfloat16 of float32); on any other the result means nothing, and nothing says "
        "so");
  }
  FingerprintFlag(const FingerprintFlag&) = delete;
  FingerprintFlag& operator=(const FingerprintFlag&) = delete;

  bool given() const { return ignored_; }
  BaseFingerprint value() const { return ignored_ ? BaseFingerprint::Ignored : BaseFingerprint::Required; }

  /// ArgumentError where it was given beside no adapter.
  void require_adapter(bool adapter_given) const {
    if (!ignored_ || adapter_given) return;
    throw ArgumentError("--ignore-base-fingerprint: expected " + adapter_flag_ +
                        " beside it, found none; give both");
  }

 private:
  std::string adapter_flag_;
  bool ignored_ = false;
};

}  // namespace sdlora::examples
