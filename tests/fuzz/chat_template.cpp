#include "target.hpp"

#include <sdlora/io/chat_template.hpp>

namespace fuzz_chat_template {

using namespace sdlora;

void read(std::string_view input) {
  static const std::vector<ChatMessage> messages{{"system", "be\nbrief"},
                                                 {"user", " hi "},
                                                 {"assistant", "so"},
                                                 {"user", ""},
                                                 {"assistant", "\xC3\xA9"}};
  const ChatTemplate chat(input, {{"bos_token", "<s>"}, {"eos_token", "</s>"}});
  (void)chat.parts(messages);
}

[[maybe_unused]] const bool added = fuzz::add({"chat_template", fuzz::Parts::words, read});

}  // namespace fuzz_chat_template
