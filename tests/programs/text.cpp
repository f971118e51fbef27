#include "support.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <string>
#include <vector>

using namespace programs;

#ifdef SDLORA_WITH_TEXT

namespace {

/// A checkpoint of `vocabulary` tokens, with the small tokenizer.json of that name where one is given.
std::string save_text_base(const test::Folder& folder, std::size_t vocabulary, const std::string& tokenizer) {
  const auto path = folder / "text_base";
  const sdlora::MambaDimensions m{.d_model = 12,
                                  .n_layer = 1,
                                  .vocab_size = vocabulary,
                                  .dt_rank = 1,
                                  .d_inner = 24,
                                  .d_state = 16,
                                  .d_conv = 4};
  sdlora::save_base(sdlora::Base<sdlora::presets::AnyMamba>::random(m, 5), path, {});
  if (!tokenizer.empty()) {
    std::filesystem::copy_file(
        std::filesystem::path(SDLORA_SOURCE_DIR) / "tests/reference/data/tokenizer" / tokenizer,
        path / "tokenizer.json");
  }
  return path.string();
}

}  // namespace

#endif

TEST_CASE("programs: tables, plain text and other columns train as JSONL does") {
  const Workplace at;
  const auto finetune = [&](const std::string& file, const Arguments& more) {
    Arguments arguments = with(at.finetune("bitfit", "out-" + std::to_string(file.size()) + file), more);
    arguments[3] = at.at(file);
    run_well("sdlora finetune", arguments);
    return test::content(at / ("out-" + std::to_string(file.size()) + file + "/adapter.safetensors")).size();
  };
  at.write("d.csv", "prompt,completion\na,b\n\"c,\nd\",e\n");
  at.write("d.tsv", "question\tanswer\nfoo\tbar\nbaz\tqux\n");
  at.write("d.txt", "a line of text\nand another one\n");
  CHECK(finetune("d.csv", {}) > 0);
  CHECK(finetune("d.tsv", {"--prompt-column", "question", "--completion-column", "answer"}) > 0);
  CHECK(finetune("d.txt", {"--max-length", "6"}) > 0);
  at.write("d", "question\tanswer\nfoo\tbar\n");
  at.write("labels.csv", "prompt,completion\na,1\nb,0\n");
  CHECK(finetune("labels.csv", {"--completion-words", "0=no,1= yes"}) > 0);
  CHECK(finetune("d", {"--format", "tsv", "--template", "Q: {question}\\nA:", "--completion-column",
                       "answer"}) > 0);

  const auto fails = [&](const Arguments& more, std::initializer_list<std::string> parts) {
    Arguments arguments = with(at.finetune("bitfit", "none"), more);
    arguments[3] = at.at("d.tsv");
    check_fails("sdlora finetune", arguments, parts);
  };
  fails({}, {"d.tsv: line 1", "\"question\", \"answer\""});
  fails({"--prompt-column", "q"}, {"one column \"q\""});
  fails({"--format", "xml"}, {"jsonl, csv, tsv or text"});
  fails({"--template", "{question"}, {"template"});
  fails({"--completion-words", "yes"}, {"--completion-words", "pairs", "found 'yes'"});
  fails({"--prompt-column", "question", "--completion-column", "answer", "--completion-words", "bar=1"},
        {"d.tsv: line 3", "among \"bar\"", "found \"qux\""});
}

TEST_CASE("programs: data comes from pipes and the standard input") {
  const Workplace at;
  const auto finetune = [&](const std::string& before, const std::string& data, const std::string& out) {
    Arguments arguments = at.finetune("bitfit", out);
    arguments[3] = data;
    std::string line = before + path_of("sdlora") + " finetune";
    for (const std::string& argument : arguments) line += " '" + argument + "'";
    return std::system((line + " 2>'" + at.at("err") + "'").c_str());
  };
  run_well("sdlora finetune", at.finetune("bitfit", "file"));
  const std::string expected = test::content(at / "file/adapter.safetensors");
  REQUIRE(finetune("cat '" + at.at("train.jsonl") + "' | ", "-", "piped") == 0);
  CHECK(test::content(at / "piped/adapter.safetensors") == expected);
  CHECK(test::content(at / "err").find("standard input: 10 examples") != std::string::npos);
  REQUIRE(finetune("mkfifo '" + at.at("fifo") + "' && { cat '" + at.at("train.jsonl") + "' >'" +
                       at.at("fifo") + "' & } && ",
                   at.at("fifo"), "named") == 0);
  CHECK(test::content(at / "named/adapter.safetensors") == expected);
}

TEST_CASE("programs: conversations go by the checkpoint's chat template, or are refused") {
  const Workplace at;
  at.write("chat.jsonl",
           R"({"messages": [{"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "2"}]})"
           "\n");
  Arguments arguments = at.finetune("bitfit", "tuned");
  arguments[3] = at.at("chat.jsonl");
  check_fails("sdlora finetune", arguments,
              {"chat.jsonl: line 1", "no chat template", "tokenizer_config.json", "completion and prompt"});
  at.write("base/chat_template.jinja", "{% macro turn(m) %}{% endmacro %}");
  check_fails(
      "sdlora finetune", arguments,
      {"chat.jsonl: line 1", "base/chat_template.jinja", "the block \"macro\"", "completion and prompt"});
  at.write("base/chat_template.jinja",
           "{% for m in messages %}\n{{ m['role'] + ':' + m['content'] }}\n{% endfor %}\n"
           "{% if add_generation_prompt %}\nassistant:\n{%- endif %}\n");
  const Result trained = run("sdlora finetune", arguments);
  CAPTURE(trained.err);
  CHECK(trained.status == 0);
  // "user:1+1?\nassistant:", of which nothing is learned, "2\n" and the end of text.
  CHECK(trained.err.find("1 examples, 23 tokens (3 learned)") != std::string::npos);
}

#ifdef SDLORA_WITH_TEXT
TEST_CASE("programs: text goes by the checkpoint's tokenizer.json") {
  const Workplace at;
  const std::string base = save_text_base(at, 928, "neox.json");
  const Scores scores = score({"--model", base, "--text", "the definition  of 12 words"});
  CHECK(scores.ids.size() > 3);
  CHECK(scores.ids.size() < 27);
  const std::string text = run_well(
      "sdlora generate",
      {"--model", base, "--prompt", "a  café", "--max-tokens", "20", "--temperature", "1", "--seed", "3"});
  CHECK(text.starts_with("a  café"));
  CHECK(sdlora::find_invalid_utf8(text) == std::string::npos);
  Arguments arguments = at.finetune("bitfit", "tuned");
  arguments[1] = base;
  run_well("sdlora finetune", arguments);
  run_well("sdlora score", {"--model", base, "--adapter", at.at("tuned"), "--text", "one and one is 2"});
  at.write("text_base/tokenizer.json", "{}");
  check_fails("sdlora score", {"--model", base, "--text", "abc"},
              {"text_base/tokenizer.json", "pre_tokenizer"});
  arguments[5] = at.at("fresh");
  check_fails("sdlora finetune", arguments,
              {"train.jsonl: line 1", "found text", "text_base/tokenizer.json", "pre_tokenizer"});
}

TEST_CASE("programs: a tokenizer of more tokens than the checkpoint is refused") {
  const Workplace at;
  check_fails("sdlora score", {"--model", save_text_base(at, 900, "neox.json"), "--text", "abc"},
              {"tokenizer.json", "at most 900", "found 923"});
}
#endif
