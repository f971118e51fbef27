#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

namespace sdlora {

/// One turn of a conversation.
struct ChatMessage {
  std::string role;  ///< as "user", "assistant", "system"
  std::string content;
};

/// A piece of a conversation's text.
struct ChatPart {
  std::string text;
  bool learned = false;  ///< the assistant's answer, with what ends it

  friend bool operator==(const ChatPart&, const ChatPart&) = default;
};

/// Writes a conversation as text, cut where answers begin and end: a ChatTemplate, or a function of one's
/// own. It throws ArgumentError where it cannot.
using ChatWriter = std::function<std::vector<ChatPart>(std::span<const ChatMessage>)>;

}  // namespace sdlora
