#pragma once

#include <zlib.h>

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "../error.hpp"
#include "input_file.hpp"

namespace sdlora {

/// Gzip by zlib: included somewhere in a program, it makes every InputFile unpack it. Not in <sdlora/io.hpp>,
/// since it needs zlib, which the CMake target sdlora::gzip links. Files of several members, one behind
/// another, are one text. FileError where the file is damaged or ends too early.
class GzipSource final : public detail::ByteSource {
 public:
  GzipSource(std::unique_ptr<detail::ByteSource> packed, std::string name)
      : packed_(std::move(packed)), name_(std::move(name)), input_(std::size_t{1} << 16) {
    if (inflateInit2(&stream_, 16 + MAX_WBITS) != Z_OK) fail("out of memory", "free some");
  }
  ~GzipSource() override { inflateEnd(&stream_); }

  std::size_t read(char* to, std::size_t count) override {
    if (count == 0) return 0;
    stream_.next_out = reinterpret_cast<Bytef*>(to);
    stream_.avail_out = static_cast<uInt>(count);
    while (stream_.avail_out == count) {
      if (stream_.avail_in == 0) {
        stream_.next_in = reinterpret_cast<Bytef*>(input_.data());
        stream_.avail_in = static_cast<uInt>(packed_->read(input_.data(), input_.size()));
        if (stream_.avail_in == 0) {
          if (inside_) fail("it ends too early", "copy or download it again");
          return 0;
        }
      }
      if (!inside_ && !begin_member()) continue;
      const int status = inflate(&stream_, Z_NO_FLUSH);
      if (status == Z_STREAM_END) {
        inside_ = false;
      } else if (status != Z_OK) {
        fail(stream_.msg != nullptr ? stream_.msg : "its data are damaged", "copy or download it again");
      }
    }
    return count - stream_.avail_out;
  }

 private:
  /// Passes over zeros behind the last member, by which some tools fill a block.
  bool begin_member() {
    while (any_ && stream_.avail_in > 0 && *stream_.next_in == 0) {
      ++stream_.next_in;
      --stream_.avail_in;
    }
    if (stream_.avail_in == 0) return false;
    if (any_) inflateReset(&stream_);
    any_ = inside_ = true;
    return true;
  }

  [[noreturn]] void fail(const std::string& what, const std::string& fix) const {
    throw FileError(name_, "", "unpacking gzip failed: " + what + "; " + fix);
  }

  std::unique_ptr<detail::ByteSource> packed_;
  std::string name_;
  std::vector<char> input_;
  z_stream stream_ = {};
  bool inside_ = false, any_ = false;
};

namespace detail {
/// From here on every InputFile takes gzip.
inline const bool gzip_is_unpacked =
    (unpack_gzip = [](std::unique_ptr<ByteSource> packed,
                      const std::string& name) -> std::unique_ptr<ByteSource> {
      return std::make_unique<GzipSource>(std::move(packed), name);
    }) != nullptr;
}  // namespace detail

}  // namespace sdlora
