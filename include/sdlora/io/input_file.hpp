#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "../error.hpp"
#include "utf8.hpp"

namespace sdlora {
namespace detail {

/// Bytes from somewhere, in order.
struct ByteSource {
  ByteSource() = default;
  ByteSource(const ByteSource&) = delete;
  ByteSource& operator=(const ByteSource&) = delete;
  virtual ~ByteSource() = default;
  /// Reads up to `count` bytes and says how many; 0 at the end.
  virtual std::size_t read(char* to, std::size_t count) = 0;
};

/// How gzip is unpacked: set where a program includes io/gzip.hpp, so that what does not needs no zlib.
/// `name` is the file's, for errors.
inline std::unique_ptr<ByteSource> (*unpack_gzip)(std::unique_ptr<ByteSource> packed,
                                                  const std::string& name) = nullptr;

/// What a file descriptor gives.
class DescriptorSource final : public ByteSource {
 public:
  DescriptorSource(int descriptor, bool own, std::string name)
      : descriptor_(descriptor), own_(own), name_(std::move(name)) {}
  ~DescriptorSource() override {
    if (own_) ::close(descriptor_);
  }

  std::size_t read(char* to, std::size_t count) override {
    for (;;) {
      const auto got = ::read(descriptor_, to, count);
      if (got >= 0) return static_cast<std::size_t>(got);
      if (errno == EINTR) continue;
      throw FileError(name_, "",
                      "reading failed: " + std::generic_category().message(errno) +
                          "; check the disk, or where the pipe comes from");
    }
  }

 private:
  int descriptor_;
  bool own_;
  std::string name_;
};

/// Some bytes, and then what the source gives further.
class PrefixedSource final : public ByteSource {
 public:
  PrefixedSource(std::string prefix, std::unique_ptr<ByteSource> source)
      : prefix_(std::move(prefix)), source_(std::move(source)) {}

  std::size_t read(char* to, std::size_t count) override {
    if (used_ == prefix_.size()) return source_->read(to, count);
    const std::size_t taken = prefix_.copy(to, count, used_);
    used_ += taken;
    return taken;
  }

 private:
  std::string prefix_;
  std::size_t used_ = 0;
  std::unique_ptr<ByteSource> source_;
};

}  // namespace detail

/// A file of text to be read once from the beginning to the end: a regular one, a pipe, a device, or "-",
/// the standard input. Gzip is unpacked (with io/gzip.hpp included somewhere in the program), and a byte
/// order mark of UTF-8 passed over. FileError where it is missing or a directory; of another encoding or
/// compression, which is named with what converts it; or where reading fails.
class InputFile {
 public:
  explicit InputFile(const std::filesystem::path& path)
      : name_(path == "-" ? "standard input" : path.string()), source_(open(path)) {
    std::string begin = peek();
    if (begin.starts_with("\x1F\x8B")) {
      if (detail::unpack_gzip == nullptr) {
        refuse(
            "gzip, which takes zlib, and this program was built without it",
            "install zlib (Debian: apt-get install zlib1g-dev) and build again, or pipe the text in: zcat " +
                shown() + " | … -");
      }
      source_ = detail::unpack_gzip(std::move(source_), name_);
      begin = peek();
    }
    check(begin);
    if (begin.starts_with("\xEF\xBB\xBF")) {
      char mark[3];
      for (std::size_t got = 0; got < 3;) got += source_->read(mark, 3 - got);
    }
  }

  /// The path, or "standard input".
  const std::string& name() const { return name_; }

  /// The next bytes; none at the end. They stay until the next call.
  std::string_view next() {
    if (buffer_.empty()) buffer_.resize(std::size_t{1} << 16);
    return {buffer_.data(), source_->read(buffer_.data(), buffer_.size())};
  }

 private:
  std::unique_ptr<detail::ByteSource> open(const std::filesystem::path& path) const {
    if (path == "-") return std::make_unique<detail::DescriptorSource>(STDIN_FILENO, false, name_);
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) {
      throw FileError(name_, "",
                      errno == ENOENT ? "no such file; check the path"
                                      : "opening failed: " + std::generic_category().message(errno) +
                                            "; check the path and its permissions");
    }
    auto source = std::make_unique<detail::DescriptorSource>(descriptor, true, name_);
    struct stat status = {};
    if (::fstat(descriptor, &status) == 0 && S_ISDIR(status.st_mode))
      throw FileError(name_, "", "expected a file or a pipe, found a directory; give a file in it");
    return source;
  }

  /// The first bytes, which are read again.
  std::string peek() {
    std::string begin(64, '\0');
    std::size_t got = 0;
    while (got < begin.size()) {
      const std::size_t count = source_->read(begin.data() + got, begin.size() - got);
      if (count == 0) break;
      got += count;
    }
    begin.resize(got);
    source_ = std::make_unique<detail::PrefixedSource>(begin, std::move(source_));
    return begin;
  }

  void check(std::string_view begin) const {
    using namespace std::string_view_literals;
    const auto convert = [&](const std::string& from) {
      refuse(from, "convert it: iconv -f " + from.substr(0, from.find(' ')) + " -t UTF-8 " + shown() +
                       " > converted");
    };
    const auto unpack = [&](const std::string& kind, const std::string& tool) {
      refuse(kind, "pipe the text in: " + tool + " " + shown() + " | … -");
    };
    if (begin.starts_with("\xFF\xFE\0\0"sv) || begin.starts_with("\0\0\xFE\xFF"sv)) convert("UTF-32");
    if (begin.starts_with("\xFF\xFE"sv) || begin.starts_with("\xFE\xFF"sv)) convert("UTF-16");
    if (begin.size() >= 4 && begin[0] != '\0' && begin[1] == '\0' && begin[2] != '\0' && begin[3] == '\0')
      convert("UTF-16LE without a byte order mark");
    if (begin.size() >= 4 && begin[0] == '\0' && begin[1] != '\0' && begin[2] == '\0' && begin[3] != '\0')
      convert("UTF-16BE without a byte order mark");
    if (begin.starts_with("\x1F\x8B"sv)) unpack("gzip inside of gzip", "zcat");
    if (begin.starts_with("\x28\xB5\x2F\xFD"sv)) unpack("zstd", "zstdcat");
    if (begin.starts_with("BZh"sv)) unpack("bzip2", "bzcat");
    if (begin.starts_with("\xFD"
                          "7zXZ\0"sv))
      unpack("xz", "xzcat");
    if (begin.starts_with("PK\x03\x04"sv)) unpack("a zip archive", "unzip -p");
    if (begin.starts_with("PAR1"sv)) {
      refuse(
          "Parquet",
          "convert it: python3 -c 'import pandas, sys; pandas.read_parquet(sys.argv[1]).to_json(sys.argv[2], "
          "orient=\"records\", lines=True)' " +
              shown() + " data.jsonl");
    }
    if (begin.starts_with("version https://git-lfs"sv))
      refuse("a pointer of git-lfs, which stands for the file", "get the file itself: git lfs pull");
  }

  std::string shown() const { return name_ == "standard input" ? "FILE" : name_; }

  [[noreturn]] void refuse(const std::string& found, const std::string& fix) const {
    throw FileError(name_, "", "expected text in UTF-8, found " + found + "; " + fix);
  }

  std::string name_;
  std::unique_ptr<detail::ByteSource> source_;
  std::vector<char> buffer_;
};

/// The lines of an InputFile, without their line feeds.
class LineReader {
 public:
  /// FileErrors as of InputFile, and where a line has more than `max_bytes` bytes.
  explicit LineReader(const std::filesystem::path& path, std::size_t max_bytes = std::size_t{1} << 30)
      : file_(path), max_bytes_(max_bytes) {}

  const std::string& name() const { return file_.name(); }

  /// Which line was last read, from 1 on.
  std::size_t number() const { return number_; }
  /// As "line 7".
  std::string place() const { return "line " + std::to_string(number_); }

  /// Reads the next line; false at the end. An empty last line is none.
  bool next(std::string& line) {
    line.clear();
    bool any = false;
    for (;;) {
      if (rest_.empty()) {
        rest_ = file_.next();
        if (rest_.empty()) break;
      }
      if (!any) ++number_;
      any = true;
      const std::size_t end = rest_.find('\n');
      line += rest_.substr(0, end);
      if (line.size() > max_bytes_) {
        throw FileError(
            name(), place(),
            "longer than " + std::to_string(max_bytes_) + " bytes, the most that is read here; split it");
      }
      if (end != std::string_view::npos) {
        rest_.remove_prefix(end + 1);
        return true;
      }
      rest_ = {};
    }
    return any;
  }

  /// `next` for lines of UTF-8, without a carriage return at their ends. FileError where a line is not UTF-8.
  bool next_text(std::string& line) {
    if (!next(line)) return false;
    if (line.ends_with('\r')) line.pop_back();
    if (const std::size_t bad = find_invalid_utf8(line); bad != std::string::npos) {
      throw FileError(name(), place(),
                      "expected UTF-8, found " + detail::in_quotes(std::string_view(line).substr(bad, 1)) +
                          " at byte " + std::to_string(bad) + "; convert the file: iconv -f latin1 -t UTF-8");
    }
    return true;
  }

 private:
  InputFile file_;
  std::string_view rest_;
  std::size_t max_bytes_;
  std::size_t number_ = 0;
};

}  // namespace sdlora
