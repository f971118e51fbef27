// Tokens a second of generation at Mamba-130M's shape (random weights, one sequence) with the base's matrices
// stored as float32, bfloat16 and int8, beside a limit measured in the same run: reading the base's memory
// once a token and nothing else.
//
//   decode [rounds] [tokens] [layers] [FILE.json]

#include <sdlora/adapters/presets.hpp>
#include <sdlora/model/mamba_model.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace {

using namespace sdlora;
using Clock = std::chrono::steady_clock;
using AnyBase = Base<presets::AnyMamba>;

template <class Function>
double seconds(const Function& f) {
  const auto begin = Clock::now();
  f();
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : 0.5 * (values[half - 1] + values[half]);
}

/// All memory that a token reads: every tensor of the base (its head is the embedding).
std::vector<std::span<const std::byte>> memory_of(const AnyBase& base) {
  std::vector<std::span<const std::byte>> all;
  const auto add = [&](const auto& m) { all.push_back(std::as_bytes(std::span(m.data, m.rows * m.cols))); };
  base.visit(Overloaded{
      [&](const std::string&, const auto& values, const std::vector<std::size_t>&) { add(values); },
      [&](const std::string&, const auto& values, const auto& scales, const std::vector<std::size_t>&) {
        add(values);
        add(scales);
      }});
  return all;
}

/// Reads them once, in pieces that the thread team shares out.
class Reader {
 public:
  explicit Reader(const AnyBase& base) {
    constexpr std::size_t piece = std::size_t{1} << 17;
    for (const std::span<const std::byte> memory : memory_of(base)) {
      bytes_ += memory.size();
      for (std::size_t first = 0; first < memory.size(); first += piece) {
        pieces_.push_back(memory.subspan(first, std::min(piece, memory.size() - first)));
      }
    }
    sums_.resize(pieces_.size());
  }

  void read() {
    parallel_for(pieces_.size(), [&](std::size_t i) {
      constexpr std::size_t lanes = 32;
      std::uint64_t sums[lanes] = {}, words[lanes];
      const std::span<const std::byte> piece = pieces_[i];
      for (std::size_t at = 0; at + sizeof words <= piece.size(); at += sizeof words) {
        std::memcpy(words, piece.data() + at, sizeof words);
        for (std::size_t j = 0; j < lanes; ++j) sums[j] += words[j];
      }
      for (const std::uint64_t sum : sums) sums_[i] += sum;
    });
  }
  std::size_t bytes() const { return bytes_; }
  /// So that nothing is left out as unused.
  std::uint64_t sum() const {
    std::uint64_t total = 0;
    for (const std::uint64_t each : sums_) total += each;
    return total;
  }

 private:
  std::vector<std::span<const std::byte>> pieces_;
  std::vector<std::uint64_t> sums_;
  std::size_t bytes_ = 0;
};

/// A base in one stored type, and the times of each round.
class Subject {
 public:
  explicit Subject(std::shared_ptr<const AnyBase> base)
      : base_(std::move(base)),
        model_(base_),
        state_(model_.initial_state(1)),
        logits_(Extents<dyn, dyn>(1, base_->dimensions().vocab_size)),
        reader_(*base_) {}

  void decode(std::size_t tokens) {
    steps_.push_back(seconds([&] {
                       for (std::size_t i = 0; i < tokens; ++i) {
                         model_.step({&token_, 1}, state_, logits_.matrix());
                         const float* row = logits_.data();
                         token_ =
                             static_cast<std::int32_t>(std::max_element(row, row + logits_.size()) - row);
                       }
                     }) /
                     static_cast<double>(tokens));
  }
  void read() {
    reads_.push_back(seconds([&] { reader_.read(); }));
  }
  void forget() {
    steps_.clear();
    reads_.clear();
  }

  std::string name() const { return std::string(stored_type_name(base_->weights())); }
  std::size_t bytes() const { return reader_.bytes(); }
  double tokens_per_second() const { return 1.0 / median(steps_); }
  double read_limit() const { return 1.0 / median(reads_); }
  /// Reading, as a share of the time of a step, of the same round.
  double reached() const {
    std::vector<double> ratios;
    for (std::size_t i = 0; i < steps_.size(); ++i) ratios.push_back(reads_[i] / steps_[i]);
    return median(ratios);
  }
  /// How many times as fast as `other` in the same round.
  double faster_than(const Subject& other) const {
    std::vector<double> ratios;
    for (std::size_t i = 0; i < steps_.size(); ++i) ratios.push_back(other.steps_[i] / steps_[i]);
    return median(ratios);
  }
  std::uint64_t sum() const { return reader_.sum() + static_cast<std::uint64_t>(token_); }

 private:
  std::shared_ptr<const AnyBase> base_;
  MambaModel<presets::AnyMamba, presets::NothingTrains> model_;
  MambaState<float> state_;
  Tensor<float, Extents<dyn, dyn>> logits_;
  Reader reader_;
  std::int32_t token_ = 1;
  std::vector<double> steps_, reads_;
};

}  // namespace

int main(int argc, char** argv) {
  const std::size_t rounds = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 9;
  const std::size_t tokens = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 8;
  MambaDimensions m = dimensions(presets::Mamba130m::config);
  if (argc > 3) m.n_layer = std::strtoul(argv[3], nullptr, 10);
  const std::size_t all = thread_count();
  const auto floats = std::make_shared<const AnyBase>(AnyBase::random(m, 1));
  std::vector<std::unique_ptr<Subject>> subjects;
  subjects.push_back(std::make_unique<Subject>(floats));
  for (const StoredType stored : {StoredType::BFloat16, StoredType::Int8}) {
    subjects.push_back(std::make_unique<Subject>(std::make_shared<const AnyBase>(floats->stored_as(stored))));
  }
  std::printf(
      "Mamba-130M shape, %zu layers, one sequence; medians of %zu rounds of %zu tokens, in turns with "
      "reading the\n"
      "base's memory once (the read limit)\n\n",
      m.n_layer, rounds, tokens);
  std::printf("%-9s %7s %9s %9s %12s %9s %9s %9s\n", "weights", "threads", "MB", "tokens/s", "read limit",
              "reached", "GB/s", "x float");
  std::string json;
  std::uint64_t sum = 0;
  std::vector<std::size_t> teams{1};
  if (all > 1) teams.push_back(all);
  for (const std::size_t threads : teams) {
    set_thread_count(threads);
    for (const auto& each : subjects) {
      each->decode(1);
      each->forget();
    }
    for (std::size_t round = 0; round < rounds; ++round) {
      for (const auto& each : subjects) {
        each->read();
        each->decode(tokens);
      }
    }
    for (const auto& each : subjects) {
      const Subject& s = *each;
      sum += s.sum();
      std::printf("%-9s %7zu %9.1f %9.1f %12.1f %9.2f %9.1f %9.2f\n", s.name().c_str(), threads,
                  static_cast<double>(s.bytes()) * 1e-6, s.tokens_per_second(), s.read_limit(), s.reached(),
                  static_cast<double>(s.bytes()) * s.tokens_per_second() * 1e-9,
                  s.faster_than(*subjects.front()));
      char row[160];
      std::snprintf(row, sizeof row,
                    R"(%s  {"weights": "%s", "threads": %zu, "tokens_per_second": %.2f, "read_limit": %.2f})",
                    json.empty() ? "" : ",\n", s.name().c_str(), threads, s.tokens_per_second(),
                    s.read_limit());
      json += row;
    }
  }
  std::printf("\n(check %llx)\n", static_cast<unsigned long long>(sum));
  if (argc > 4) {
    std::FILE* file = std::fopen(argv[4], "w");
    if (file == nullptr) {
      std::fprintf(stderr, "decode: cannot write %s\n", argv[4]);
      return EXIT_FAILURE;
    }
    const bool written = std::fprintf(file, "[\n%s\n]\n", json.c_str()) > 0;
    if (std::fclose(file) != 0 || !written) {
      std::fprintf(stderr, "decode: cannot write %s\n", argv[4]);
      return EXIT_FAILURE;
    }
  }
  return EXIT_SUCCESS;
}
