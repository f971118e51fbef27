#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tokenizer.hpp"

namespace sdlora {

/// Any tokenizer behind one type, for programs that learn only at run time which one a checkpoint has.
/// Copies share the tokenizer, which is never changed: threads may use it side by side.
class AnyTokenizer {
 public:
  /// Takes the tokenizer over.
  template <Tokenizer T>
    requires(!std::same_as<T, AnyTokenizer>)
  AnyTokenizer(T tokenizer) : held_(std::make_shared<const Holder<T>>(std::move(tokenizer))) {}

  std::vector<std::int32_t> encode(std::string_view text) const { return held_->encode(text); }
  std::string decode(std::span<const std::int32_t> ids) const { return held_->decode(ids); }
  std::size_t vocab_size() const { return held_->vocab_size(); }
  std::string_view name() const { return held_->name(); }
  std::optional<std::int32_t> end_of_text() const { return held_->end_of_text(); }

 private:
  struct Interface {
    virtual ~Interface() = default;
    virtual std::vector<std::int32_t> encode(std::string_view text) const = 0;
    virtual std::string decode(std::span<const std::int32_t> ids) const = 0;
    virtual std::size_t vocab_size() const = 0;
    virtual std::string_view name() const = 0;
    virtual std::optional<std::int32_t> end_of_text() const = 0;
  };

  template <class T>
  struct Holder final : Interface {
    explicit Holder(T held) : tokenizer(std::move(held)) {}
    std::vector<std::int32_t> encode(std::string_view text) const override { return tokenizer.encode(text); }
    std::string decode(std::span<const std::int32_t> ids) const override { return tokenizer.decode(ids); }
    std::size_t vocab_size() const override { return tokenizer.vocab_size(); }
    std::string_view name() const override { return tokenizer.name(); }
    std::optional<std::int32_t> end_of_text() const override { return tokenizer.end_of_text(); }
    T tokenizer;
  };

  std::shared_ptr<const Interface> held_;
};

static_assert(Tokenizer<AnyTokenizer>);

}  // namespace sdlora
