#include <cstdint>
#include <random>
#include <sdlora/io/chat_template.hpp>
#include <sdlora/io/dataset.hpp>
#include <string>
#include <vector>

#include "support.hpp"

using namespace sdlora;
using test::check_error;
using Ids = std::vector<std::int32_t>;

namespace {

JsonlDataset open(const test::Folder& folder, std::string_view text, DatasetOptions options = {}) {
  return JsonlDataset::open(folder.write("d.jsonl", text), ByteTokenizer{}, options);
}

/// A tokenizer without an end of text, to see that none is invented.
struct Letters {
  Ids encode(std::string_view text) const { return Ids(text.begin(), text.end()); }
  std::string decode(std::span<const std::int32_t> ids) const { return std::string(ids.size(), '?'); }
  std::size_t vocab_size() const { return 128; }
  std::string_view name() const { return "letters"; }
  std::optional<std::int32_t> end_of_text() const { return std::nullopt; }
};
static_assert(Tokenizer<Letters>);

}  // namespace

TEST_CASE("the three kinds of lines, mixed") {
  const test::Folder folder;
  const auto data =
      open(folder,
           "{\"prompt\": \"ab\", \"completion\": \"cd\", \"id\": 7}\n"
           "{\"text\": \"\\u00e9x\"}\n"
           "{\"input_ids\": [5, 256, 7], \"labels\": [-100, 256, 7], \"attention_mask\": [1, 1, 1]}\n"
           "{\"prompt\": \"\", \"completion\": \"yz\"}\n"
           "{\"prompt\": \"q\", \"completion\": \"\"}\n");
  REQUIRE(data.size() == 5);
  CHECK(data[0] == Example{{97, 98, 99, 100, 256}, {-100, -100, 99, 100, 256}});
  CHECK(data[1] == Example{{0xC3, 0xA9, 120}, {0xC3, 0xA9, 120}});
  CHECK(data[2] == Example{{5, 256, 7}, {-100, 256, 7}});
  CHECK(data[3] == Example{{121, 122, 256}, {121, 122, 256}});
  CHECK(data[4] == Example{{113, 256}, {-100, 256}});
  CHECK(data.tokens() == 16);
  CHECK(data.learned_tokens() == 3 + 2 + 2 + 2 + 1);
  CHECK(data.longest() == 5);
  CHECK(data.truncated() == 0);
  CHECK(data.dropped() == 0);
  CHECK(data.examples().size() == 5);
  CHECK(data.report() == (folder / "d.jsonl").string() + ": 5 examples, 16 tokens (10 learned)");
}

TEST_CASE("an end of text comes after completions, and after texts only on request") {
  const test::Folder folder;
  CHECK(open(folder, "{\"text\": \"ab\"}", {.end_text = true})[0] == Example{{97, 98, 256}, {97, 98, 256}});
  folder.write("d.jsonl", "{\"prompt\": \"a\", \"completion\": \"b\"}\n{\"text\": \"ab\"}");
  const auto data = JsonlDataset::open(folder / "d.jsonl", Letters{}, {.end_text = true});
  CHECK(data[0] == Example{{97, 98}, {-100, 98}});
  CHECK(data[1] == Example{{97, 98}, {97, 98}});
  // Wherever it stands it is learned as its label says, though many a checkpoint names it as padding, too.
  const auto ids =
      open(folder, "{\"input_ids\": [97, 256, 98, 256, 256], \"labels\": [97, 256, 98, 256, -100]}");
  CHECK(ids[0] == Example{{97, 256, 98, 256, 256}, {97, 256, 98, 256, -100}});
  CHECK(ids.learned_tokens() == 3);
}

TEST_CASE("long examples are cut at the end and counted; those that teach nothing any more are dropped") {
  const test::Folder folder;
  const std::string text =
      "{\"prompt\": \"abcd\", \"completion\": \"efg\"}\n"  // 4 + 3 + 1
      "{\"text\": \"hello world\"}\n"
      "{\"prompt\": \"a\", \"completion\": \"b\"}\n"
      "{\"input_ids\": [1, 2, 3, 4, 5, 6], \"labels\": [1, -100, -100, -100, 5, 6]}\n";
  const auto data = open(folder, text, {.max_length = 5});
  REQUIRE(data.size() == 4);
  CHECK(data[0] == Example{{97, 98, 99, 100, 101}, {-100, -100, -100, -100, 101}});
  CHECK(data[1].ids.size() == 5);
  CHECK(data.truncated() == 3);
  CHECK(data.dropped() == 0);
  CHECK(data.longest() == 5);
  CHECK(data.report().find("3 cut to 5 tokens") != std::string::npos);

  // At four tokens the first has its prompt only; the last keeps a label at 0, which teaches nothing.
  const auto shorter = open(folder, text, {.max_length = 4});
  REQUIRE(shorter.size() == 2);
  CHECK(shorter.truncated() == 1);
  CHECK(shorter.dropped() == 2);
  CHECK(shorter.tokens() == 4 + 3);
  CHECK(shorter.report().find("1 cut to 4 tokens, 2 dropped") != std::string::npos);
  CHECK(open(folder, text, {.max_length = 11}).truncated() == 0);
  check_error<FileError>([&] { open(folder, text, {.max_length = 1}); },
                         {"d.jsonl", "4 examples", "1 tokens"});
}

TEST_CASE("bad lines are named with what is wrong and what to do") {
  const test::Folder folder;
  const auto refused = [&](const std::string& line, std::initializer_list<std::string> parts) {
    INFO(line);
    const std::string text = "{\"text\": \"good\"}\n\n" + line + "\n";
    check_error<FileError>([&] { open(folder, text); }, {"d.jsonl: ", "line 3"});
    check_error<FileError>([&] { open(folder, text); }, parts);
  };
  refused("{}", {"none of them"});
  refused("{\"input_ids\": [1.0, 2.0], \"labels\": [1, 2]}",
          {"line 3, field input_ids[0]: ", "an integer", "found 1.0;"});
  refused("{\"input_ids\": [1, 2.5], \"labels\": [1, 2]}", {"field input_ids[1]: ", "found 2.5;"});
  refused("{\"texts\": \"x\", \"n\": 1}",
          {"none of them", "its fields: \"n\", \"texts\"", "name the fields"});
  refused("{\"text\": null}", {"none of them", "\"text\" (null)"});
  refused("{\"messages\": []}",
          {"messages but no chat template", "tokenizer_config.json", "completion and prompt"});
  refused("{\"conversations\": []}", {"none of them", "\"conversations\"", "\"messages\": [{\"role\""});
  refused("{\"messages\": [], \"text\": \"a\"}", {"several of them"});
  refused("{\"text\": \"ab\", \"prompt\": \"a\", \"completion\": \"b\"}", {"several of them"});
  refused("{\"text\": \"ab\", \"labels\": [1]}", {"several of them"});
  refused("{\"prompt\": \"a\"}", {"line 3, field completion: ", "missing"});
  refused("{\"completion\": \"a\"}", {"line 3, field prompt: ", "missing"});
  refused("{\"prompt\": 1, \"completion\": \"b\"}", {"line 3, field prompt: ", "a string", "found 1"});
  refused("{\"prompt\": \"a\", \"completion\": [\"b\"]}", {"line 3, field completion: ", "found array"});
  refused("{\"text\": [\"a\"]}", {"line 3, field text: ", "a string"});
  refused("{\"text\": \"\"}", {"at least one token to learn", "0 tokens"});
  refused("{\"text\": \"a\"}", {"at least one token to learn", "1 tokens"});
  refused("{\"prompt\": \"\", \"completion\": \"\"}", {"at least one token to learn"});
  refused("{\"input_ids\": [1, 2]}", {"line 3, field labels: ", "missing"});
  refused("{\"labels\": [1, 2]}", {"line 3, field input_ids: ", "missing"});
  refused("{\"input_ids\": [], \"labels\": []}", {"at least one token to learn"});
  refused("{\"input_ids\": [1, 2], \"labels\": [-100, -100]}", {"at least one token to learn"});
  refused("{\"input_ids\": [1, 2], \"labels\": [1, -100]}", {"at least one token to learn"});
  refused("{\"input_ids\": [1, 2], \"labels\": [1]}", {"as many labels as ids", "1 for 2"});
  refused("{\"input_ids\": [1, 257], \"labels\": [1, 2]}", {"ids from 0 to 256", "257 at position 1"});
  refused("{\"input_ids\": [1, -1], \"labels\": [1, 2]}", {"-1 at position 1"});
  refused("{\"input_ids\": [1, -100], \"labels\": [1, 2]}", {"-100 at position 1"});
  refused("{\"input_ids\": [1, 2], \"labels\": [1, 257]}", {"labels of -100", "257 at position 1"});
  refused("{\"input_ids\": [1, 2], \"labels\": [-99, 2]}", {"-99 at position 0"});
  refused("{\"input_ids\": [1, 2147483648], \"labels\": [1, 2]}", {"input_ids[1]", "2147483648"});
  refused("{\"input_ids\": [1, 18446744073709551616], \"labels\": [1, 2]}", {"input_ids[1]"});
  refused("{\"input_ids\": [1, 2.0], \"labels\": [1, 2]}", {"input_ids[1]", "an integer", "found 2.0"});
  refused("{\"input_ids\": [1, \"2\"], \"labels\": [1, 2]}", {"input_ids[1]", "\"2\""});
  refused("{\"input_ids\": [[1, 2]], \"labels\": [1, 2]}", {"input_ids[0]", "found array"});
  refused("{\"input_ids\": 5, \"labels\": [1, 2]}", {"input_ids", "an array"});
  refused("{\"input_ids\": [0, 2], \"labels\": [0, 2], \"attention_mask\": [0, 1]}",
          {"attention_mask", "padding"});
  refused("{\"input_ids\": [0, 2], \"labels\": [0, 2], \"attention_mask\": [1]}", {"attention_mask"});
  refused("\"text\"", {"an object"});
  refused("{\"text\": \"a\" \"b\"}", {"line 3, column"});
  refused("{\"text\": \"ab\", \"text\": \"cd\"}", {"stands twice"});
  refused("{\"text\": \"a\xC3\"}", {"UTF-8"});
  refused("{\"text\": \"\\udfff\"}", {"strict JSON"});
  check_error<FileError>([&] { open(folder, ""); }, {"d.jsonl", "found none"});
  check_error<FileError>([&] { open(folder, "\n"); }, {"d.jsonl", "found none"});
  check_error<FileError>([&] { (void)JsonlDataset::open(folder / "absent", ByteTokenizer{}); }, {"absent"});
}

TEST_CASE("ids go up to the vocabulary that is given") {
  const test::Folder folder;
  const auto path = folder.write("d.jsonl", "{\"input_ids\": [1, 50279], \"labels\": [-100, 50279]}");
  CHECK(JsonlDataset::open(path, {.vocab_size = 50280})[0].ids == Ids{1, 50279});
  check_error<FileError>([&] { (void)JsonlDataset::open(path, {.vocab_size = 50279}); }, {"50278", "50279"});
  check_error<ArgumentError>([&] { (void)JsonlDataset::open(path, {}); }, {"vocab_size"});
  CHECK_NOTHROW(open(folder, "{\"input_ids\": [1, 263], \"labels\": [1, 263]}", {.vocab_size = 264}));
  // a vocabulary smaller than the tokenizer's does not let text through unseen
  check_error<FileError>([&] { open(folder, "{\"text\": \"abc\"}", {.vocab_size = 98}); },
                         {"line 1", "98 at position 1"});
}

TEST_CASE("without a tokenizer text is refused, not read as something else") {
  const test::Folder folder;
  for (const char* line : {"{\"text\": \"ab\"}", "{\"prompt\": \"a\", \"completion\": \"b\"}"}) {
    const auto path =
        folder.write("d.jsonl", std::string("{\"input_ids\": [1, 2], \"labels\": [1, 2]}\n") + line);
    check_error<FileError>([&] { (void)JsonlDataset::open(path, {.vocab_size = 300}); },
                           {"d.jsonl", "line 2", "found text", "load_tokenizer", "token ids"});
    check_error<FileError>(
        [&] { (void)JsonlDataset::open(path, {.vocab_size = 300, .no_tokenizer = "it was eaten"}); },
        {"line 2", "found text", "it was eaten"});
  }
}

TEST_CASE("examples from memory are checked and cut alike") {
  const auto data = JsonlDataset::from_examples({{{1, 2, 3}, {-100, 2, 3}}, {{4, 5, 6}, {-100, -100, 6}}},
                                                {.max_length = 2, .vocab_size = 7});
  REQUIRE(data.size() == 1);
  CHECK(data[0] == Example{{1, 2}, {-100, 2}});
  CHECK(data.truncated() == 1);
  CHECK(data.dropped() == 1);
  CHECK(JsonlDataset::from_examples({{{1, 2'000'000'000}, {1, 2}}}).size() == 1);
  check_error<ArgumentError>([] { (void)JsonlDataset::from_examples({{{1, 2}, {1, 2}}, {{1}, {1, 2}}}); },
                             {"example 1", "2 for 1"});
  check_error<ArgumentError>([] { (void)JsonlDataset::from_examples({{{1, 7}, {1, 2}}}, {.vocab_size = 7}); },
                             {"example 0", "7 at position 1"});
  check_error<ArgumentError>([] { (void)JsonlDataset::from_examples({}); }, {"found none"});
}

TEST_CASE("fields have other names where the options say so") {
  const test::Folder folder;
  const std::string text =
      "{\"q\": \"ab\", \"a\": 7, \"ok\": true}\n{\"q\": \"c\", \"a\": \"de\", \"ok\": false}\n";
  const auto data = open(folder, text, {.prompt_column = "q", .completion_column = "a"});
  CHECK(data[0] == Example{{97, 98, 55, 256}, {-100, -100, 55, 256}});
  CHECK(data[1] == Example{{99, 100, 101, 256}, {-100, 100, 101, 256}});
  const auto made = open(folder, text, {.completion_column = "ok", .prompt_template = "{q}:{a}\\n"});
  CHECK(made[0].ids == Ids{97, 98, 58, 55, 10, 't', 'r', 'u', 'e', 256});
  CHECK(made[0].labels[4] == -100);
  const auto texts = open(folder, text, {.end_text = true, .text_column = "q"});
  CHECK(texts[1] == Example{{99, 256}, {99, 256}});
  check_error<FileError>([&] { open(folder, text, {.prompt_column = "x", .completion_column = "a"}); },
                         {"d.jsonl", "line 1", "a field \"x\"", "\"ok\""});
  check_error<FileError>([&] { open(folder, "{\"q\": [1], \"completion\": \"a\"}", {.prompt_column = "q"}); },
                         {"field q", "a string", "found array"});
  check_error<FileError>(
      [&] { open(folder, "{\"q\": null, \"completion\": \"a\"}", {.prompt_column = "q"}); },
      {"a field \"q\"", "\"q\" (null)"});
  check_error<ArgumentError>([&] { open(folder, text, {.prompt_column = "q", .text_column = "a"}); },
                             {"both"});
  check_error<ArgumentError>([&] { open(folder, text, {.prompt_column = "q", .prompt_template = "{a}"}); },
                             {"template", "both"});
  check_error<ArgumentError>([&] { open(folder, text, {.prompt_template = "{"}); }, {"template"});
}

TEST_CASE("completions are written in words where the options have some") {
  const test::Folder folder;
  const DatasetOptions words{.completion_column = "c", .completion_words = {{"0", "no"}, {"1", "y"}}};
  const auto table =
      JsonlDataset::open(folder.write("d.csv", "prompt,c\na,1\nb,0\n"), ByteTokenizer{}, words);
  CHECK(table[0] == Example{{97, 'y', 256}, {-100, 'y', 256}});
  CHECK(table[1] == Example{{98, 'n', 'o', 256}, {-100, 'n', 'o', 256}});
  CHECK(open(folder, "{\"prompt\": \"a\", \"c\": 1}", words)[0] == table[0]);
  CHECK(open(folder, "{\"prompt\": \"a\", \"completion\": \"1\"}",
             {.completion_words = words.completion_words})[0] == table[0]);
  check_error<FileError>([&] { open(folder, "{\"prompt\": \"a\", \"c\": 2}", words); },
                         {"line 1", "among \"0\", \"1\"", "found \"2\""});
}

TEST_CASE("tables: the columns of the first row, or those that are named") {
  const test::Folder folder;
  const auto table = [&](const char* name, std::string_view text, DatasetOptions options = {}) {
    return JsonlDataset::open(folder.write(name, text), ByteTokenizer{}, options);
  };
  const Example expected{{97, 44, 98, 256}, {-100, -100, 98, 256}};
  CHECK(table("d.csv", "id,completion,prompt\n1,b,\"a,\"\n")[0] == expected);
  CHECK(table("d.tsv", "id\tcompletion\tprompt\r\n1\tb\ta,\r\n")[0] == expected);
  CHECK(table("d", "prompt,completion\n\"a,\",b", {.format = DataFormat::csv})[0] == expected);
  CHECK(table("d.csv", "q\tprompt\nb\ta,", {.format = DataFormat::tsv, .completion_column = "q"})[0] ==
        expected);
  CHECK(table("d.csv", "x,y\na,b", {.completion_column = "y", .prompt_template = "{x},"})[0] == expected);
  CHECK(table("d.csv", "n,text\n1,ab\n2,\"c\nd\"")[1] == Example{{99, 10, 100}, {99, 10, 100}});
  CHECK(table("d.csv", "n,note\n1,ab", {.text_column = "note"})[0] == Example{{97, 98}, {97, 98}});
  const auto refused = [&](std::string_view text, const DatasetOptions& options,
                           std::initializer_list<std::string> parts) {
    check_error<FileError>([&] { table("d.csv", text, options); }, {"d.csv"});
    check_error<FileError>([&] { table("d.csv", text, options); }, parts);
  };
  refused("", {}, {"found none"});
  refused("prompt,completion\n", {}, {"found none"});
  refused("a,b\n1,2", {}, {"line 1", "only \"a\", \"b\""});
  refused("prompt,completion,text\n1,2,3", {}, {"line 1", "all of them"});
  refused("prompt,completion\na,b,c", {}, {"line 2", "expected 2 fields", "found 3", "quotes"});
  refused("prompt,completion\na,b\n\"c\nd\"", {}, {"line 3", "found 1"});
  refused("q,completion\na,b", {.prompt_column = "p"}, {"line 1", "one column \"p\"", "only \"q\""});
  refused("p,p,completion\na,b,c", {.prompt_column = "p"}, {"line 1", "several"});
  refused("p,q\na,b", {.completion_column = "q", .prompt_template = "{p}{r}"}, {"one column \"r\""});
  refused("prompt,completion\n,\n", {}, {"line 2", "at least one token"});
  check_error<FileError>(
      [&] { (void)JsonlDataset::open(folder.write("d.csv", "text\nab"), {.vocab_size = 300}); },
      {"line 2", "no tokenizer"});
}

TEST_CASE("plain text: a line an example") {
  const test::Folder folder;
  const auto path = folder.write("d.txt", "ab\r\n\nx\ncd\n");
  const auto data = JsonlDataset::open(path, ByteTokenizer{});
  REQUIRE(data.size() == 2);
  CHECK(data[1] == Example{{99, 100}, {99, 100}});
  CHECK(data.passed_over() == 1);
  CHECK(data.report().find("1 lines of one token passed over") != std::string::npos);
  CHECK(JsonlDataset::open(path, ByteTokenizer{}, {.end_text = true}).size() == 3);
  check_error<FileError>([&] { (void)JsonlDataset::open(folder.write("d.txt", ""), ByteTokenizer{}); },
                         {"found none"});
  check_error<FileError>(
      [&] { (void)JsonlDataset::open(folder.write("d.txt", "ab\n\xFF"), ByteTokenizer{}); },
      {"line 2", "UTF-8"});
  check_error<ArgumentError>([&] { (void)JsonlDataset::open(path, ByteTokenizer{}, {.text_column = "a"}); },
                             {"plain text"});
}

TEST_CASE("conversations are written by the chat template, and the assistant's answers learned") {
  const test::Folder folder;
  DatasetOptions options;
  options.chat = ChatTemplate(
      "{% for m in messages %}{{ '<' + m.role + '>' + m.content }}{% if m.role == 'assistant' %}!{% endif %}"
      "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}");
  const std::string line =
      R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"},)"
      R"({"role": "user", "content": "c"}, {"role": "assistant", "content": "d", "tool_calls": null}], "id": 3})";
  const Example example = open(folder, line, options)[0];
  std::string all = "<user>a<assistant>b!<user>c<assistant>d!";
  Ids ids(all.begin(), all.end()), labels(ids.size() - 2, -100);
  labels[18] = 'b';
  labels[19] = '!';
  labels.insert(labels.end(), {'d', '!', 256});
  ids.push_back(256);
  CHECK(example.ids == ids);
  CHECK(example.labels == labels);
  // Beside the other kinds.
  CHECK(open(folder, line + "\n{\"text\": \"ab\"}", options).size() == 2);
  const auto refused = [&](const std::string& text, std::initializer_list<std::string> parts) {
    CAPTURE(text);
    check_error<FileError>([&] { open(folder, text, options); }, {"d.jsonl: line 1, ", "messages"});
    check_error<FileError>([&] { open(folder, text, options); }, parts);
  };
  refused(R"({"messages": []})", {"\"assistant\", found none"});
  refused(R"({"messages": {}})", {"an array of messages"});
  refused(R"({"messages": ["a"]})", {"messages[0]", "an object"});
  refused(R"({"messages": [{"role": "user"}]})", {"field messages[0].content", "missing"});
  refused(R"({"messages": [{"role": "user", "content": [{"type": "text"}]}]})",
          {"messages[0].content", "a string"});
  refused(R"({"messages": [{"role": "assistant", "content": "a", "tool_calls": []}]})", {"tool_calls"});
  options.chat = {};
  options.no_chat = "it was eaten";
  check_error<FileError>([&] { open(folder, line, options); }, {"d.jsonl: line 1: ", "it was eaten"});
}

TEST_CASE("formats have names") {
  CHECK(data_format("") == DataFormat::by_name);
  CHECK(data_format("jsonl") == DataFormat::jsonl);
  CHECK(data_format("csv") == DataFormat::csv);
  CHECK(data_format("tsv") == DataFormat::tsv);
  CHECK(data_format("text") == DataFormat::text);
  check_error<ArgumentError>([] { (void)data_format("xml"); }, {"jsonl, csv, tsv or text", "\"xml\""});
}

TEST_CASE("a line of twenty megabytes is cut") {
  const test::Folder folder;
  std::string ids = "1", labels = "1";
  for (int i = 1; i < 5'000'000; ++i) {
    ids += ",2";
    labels += ",2";
  }
  const auto data =
      open(folder, "{\"input_ids\": [" + ids + "], \"labels\": [" + labels + "]}", {.max_length = 100});
  CHECK(data[0].ids.size() == 100);
  CHECK(data.truncated() == 1);
}

TEST_CASE("damaged lines are FileErrors or examples, nothing else") {
  const test::Folder folder;
  const std::string text =
      "{\"prompt\": \"ab\", \"completion\": \"cd\"}\n{\"input_ids\": [5, 256, 7], \"labels\": [-100, 256, "
      "7]}\n";
  std::mt19937 random(99);
  for (int i = 0; i < 500; ++i) {
    std::string damaged = text;
    for (auto flips = 1 + random() % 3; flips > 0; --flips) {
      damaged[random() % damaged.size()] = static_cast<char>(random() % 256);
    }
    if (random() % 4 == 0) damaged.resize(random() % damaged.size());
    try {
      const auto data = open(folder, damaged);
      CHECK(data.size() > 0);
    } catch (const FileError& error) {
      CHECK(std::string(error.what()).find("d.jsonl: ") != std::string::npos);
    }
  }
}
