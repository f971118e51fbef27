#include <sdlora/io/chat_message.hpp>
#include <sdlora/io/dataset.hpp>
#include <span>
#include <vector>

#include "support.hpp"

using namespace sdlora;

TEST_CASE("a function of one's own writes conversations") {
  const test::Folder folder;
  DatasetOptions options;
  options.chat = [](std::span<const ChatMessage> messages) {
    std::vector<ChatPart> parts;
    for (const ChatMessage& message : messages) parts.push_back({message.content, message.role == "bot"});
    return parts;
  };
  CHECK(options.chat(std::vector<ChatMessage>{{"bot", "b"}}) == std::vector<ChatPart>{{"b", true}});
  const auto path = folder.write(
      "d.jsonl", R"({"messages": [{"role": "me", "content": "a"}, {"role": "bot", "content": "b"}]})");
  CHECK(JsonlDataset::open(path, ByteTokenizer{}, options)[0] == Example{{97, 98, 256}, {-100, 98, 256}});
}
