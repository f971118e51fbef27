#include <sdlora/io/tokenizer_config.hpp>
#include <string>

#include "support.hpp"

using namespace sdlora;
using test::check_error;

TEST_CASE("special tokens are texts or objects, in either file") {
  const test::Folder folder;
  CHECK_FALSE(read_tokenizer_config(folder.path()).token("eos_token"));
  CHECK_FALSE(read_tokenizer_config(folder.path()).chat_template);
  folder.write("tokenizer_config.json",
               R"({"eos_token": "<|endoftext|>", "bos_token": null, "model_max_length": Infinity})");
  folder.write("special_tokens_map.json", R"({"eos_token": "other", "bos_token": {"content": "<s>"}})");
  const TokenizerConfig config = read_tokenizer_config(folder.path());
  CHECK(config.token("eos_token") == "<|endoftext|>");
  CHECK(config.token("bos_token") == "<s>");
  CHECK_FALSE(config.token("pad_token"));
  folder.write("tokenizer_config.json", R"({"eos_token": 5})");
  check_error<FileError>([&] { (void)read_tokenizer_config(folder.path()); },
                         {"tokenizer_config.json", "field eos_token", "a string"});
  folder.write("tokenizer_config.json", R"({"eos_token": {"special": true}})");
  check_error<FileError>([&] { (void)read_tokenizer_config(folder.path()); },
                         {"field eos_token.content", "missing"});
}

TEST_CASE("a chat template is text, the default of several, or a file of its own") {
  const test::Folder folder;
  const auto read = [&] { return read_tokenizer_config(folder.path()); };
  folder.write("tokenizer_config.json", R"({"chat_template": "one"})");
  CHECK(read().chat_template == "one");
  CHECK(read().chat_template_path == (folder / "tokenizer_config.json").string());
  folder.write("tokenizer_config.json", R"({"chat_template": [{"name": "tool_use", "template": "two"},
                                                              {"name": "default", "template": "three"}]})");
  CHECK(read().chat_template == "three");
  folder.write("tokenizer_config.json", R"({"chat_template": [{"name": "tool_use", "template": "two"}]})");
  CHECK_FALSE(read().chat_template);
  CHECK(read().chat_template_path.empty());
  folder.write("tokenizer_config.json", R"({"chat_template": [{"name": 5}]})");
  check_error<FileError>([&] { (void)read(); }, {"chat_template[0].name"});
  folder.write("tokenizer_config.json", R"({"chat_template": "one"})");
  folder.write("chat_template.jinja", "four");
  CHECK(read().chat_template == "four");
  CHECK(read().chat_template_path == (folder / "chat_template.jinja").string());
}
