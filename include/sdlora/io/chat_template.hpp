#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../error.hpp"
#include "chat_message.hpp"
#include "detail/jinja_template.hpp"
#include "tokenizer_config.hpp"
#include "utf8.hpp"

namespace sdlora {

/// How a model's conversations are written: the chat template of a tokenizer's files, a text in Jinja. Read
/// are those of plain kinds (ChatML, Zephyr's, Llama's, Mistral's and their kin): `for`, `if` and `set`,
/// expressions on texts and messages, `raise_exception`. Tools, macros and namespaces are not.
class ChatTemplate {
 public:
  /// `tokens` are the texts that it knows by names such as "eos_token". ArgumentError, which names the piece,
  /// where something is not read.
  explicit ChatTemplate(std::string_view text, std::map<std::string, std::string, std::less<>> tokens = {})
      : write_(detail::jinja::TemplateParser(text).parse()), tokens_(std::move(tokens)) {}

  /// The text of the messages; `answer`: and what comes before an answer of the assistant. ArgumentError
  /// where the template refuses the conversation.
  std::string render(std::span<const ChatMessage> messages, bool answer) const {
    using detail::jinja::Value;
    detail::jinja::List list;
    for (const ChatMessage& message : messages) {
      list.emplace_back(
          detail::jinja::Record{{"role", Value(message.role)}, {"content", Value(message.content)}});
    }
    detail::jinja::Record variables{{"messages", Value(std::move(list))},
                                    {"add_generation_prompt", Value(answer)}};
    for (const auto& [name, text] : tokens_) variables.emplace(name, Value(text));
    detail::jinja::Context context(std::move(variables));
    write_(context);
    return context.out();
  }

  /// `parts`, so that a ChatTemplate is what DatasetOptions ask for.
  std::vector<ChatPart> operator()(std::span<const ChatMessage> messages) const { return parts(messages); }

  /// The conversation up to the last message of the assistant, whose messages are to be learned.
  /// ArgumentError where there is none, or the template writes a message otherwise once others follow.
  std::vector<ChatPart> parts(std::span<const ChatMessage> messages) const {
    std::vector<ChatPart> result;
    std::string done;
    for (std::size_t i = 0; i < messages.size(); ++i) {
      if (messages[i].role != "assistant") continue;
      std::string before = i == 0 ? std::string() : render(messages.first(i), true);
      std::string after = render(messages.first(i + 1), false);
      // Templates without a beginning of answers leave the whole turn to be learned.
      if (!after.starts_with(before)) before = render(messages.first(i), false);
      if (!before.starts_with(done) || !after.starts_with(before)) {
        throw ArgumentError(
            "the chat template writes messages otherwise once others follow, so that what is to be learned "
            "has "
            "no place of its own; write each answer and what comes before it as completion and prompt");
      }
      if (before.size() > done.size()) result.push_back({before.substr(done.size()), false});
      if (after.size() > before.size()) result.push_back({after.substr(before.size()), true});
      done = std::move(after);
    }
    if (done.empty()) {
      throw ArgumentError(
          "expected a message of the role \"assistant\", found none; there is nothing to learn");
    }
    return result;
  }

 private:
  detail::jinja::Statement write_;
  std::map<std::string, std::string, std::less<>> tokens_;
};

/// The chat template of a checkpoint's folder (`read_tokenizer_config`), or nothing where it has none.
/// FileError where it is of a kind that is not read.
inline std::optional<ChatTemplate> load_chat_template(const std::filesystem::path& directory) {
  const TokenizerConfig config = read_tokenizer_config(directory);
  if (!config.chat_template) return std::nullopt;
  try {
    return ChatTemplate(*config.chat_template, config.tokens);
  } catch (const ArgumentError& error) {
    throw FileError(
        config.chat_template_path, "field chat_template",
        std::string(error.what()) + "; write each answer and what comes before it as completion and prompt");
  }
}

}  // namespace sdlora
