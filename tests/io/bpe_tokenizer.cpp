#include <algorithm>
#include <cstdint>
#include <ctime>
#include <nlohmann/json.hpp>
#include <random>
#include <sdlora/io/bpe_tokenizer.hpp>
#include <sdlora/io/streaming_decoder.hpp>
#include <string>
#include <vector>

#include "support.hpp"

using namespace sdlora;
using test::check_error;
using Ids = std::vector<std::int32_t>;

namespace {

const std::filesystem::path data =
    std::filesystem::path(SDLORA_SOURCE_DIR) / "tests/reference/data/tokenizer";

nlohmann::json reference(const char* name) { return nlohmann::json::parse(test::content(data / name)); }

BpeTokenizer neox() { return BpeTokenizer::open(data / "neox.json"); }

/// The small GPT-NeoX tokenizer, changed.
std::string changed(const nlohmann::json& patch) {
  auto document = reference("neox.json");
  document.merge_patch(patch);
  return document.dump();
}

std::string utf8(char32_t code) {
  std::string text;
  detail::append_utf8(text, code);
  return text;
}

template <class Generator>
char32_t any_character(Generator& random) {
  for (;;) {
    const auto code = static_cast<char32_t>(random() % (random() % 2 == 0 ? 0x110000 : 0x3000));
    if (code < 0xD800 || code > 0xDFFF) return code;
  }
}

/// Seconds of the processor: others may be at work on the machine.
#ifdef NDEBUG
constexpr double time_limit = 1.0;
#else
constexpr double time_limit = 60.0;  // without optimisation, or under sanitizers
#endif
double seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

}  // namespace

TEST_CASE("ids and texts are those of the tokenizers library") {
  const auto cases = reference("cases.json");
  const auto texts = cases["texts"].get<std::vector<std::string>>();
  REQUIRE(texts.size() > 80);
  for (const char* name : {"neox", "gpt2", "falcon", "llama3", "added"}) {
    CAPTURE(name);
    const auto tokenizer = BpeTokenizer::open(data / (name + std::string(".json")));
    const auto& expected = cases["tokenizers"][name];
    REQUIRE(expected["ids"].size() == texts.size());
    for (std::size_t i = 0; i < texts.size(); ++i) {
      CAPTURE(texts[i]);
      CHECK(tokenizer.encode(texts[i]) == expected["ids"][i].get<Ids>());
    }
    for (const auto& each : expected["decoded"]) {
      Utf8Stream well_formed;
      std::string text = well_formed.push(tokenizer.decode(each["ids"].get<Ids>()));
      text += well_formed.finish();
      CHECK(text == each["text"].get<std::string>());
    }
  }
}

TEST_CASE("characters are of the classes that the tokenizers library sees") {
  const auto& table = detail::CharacterTable::instance();
  const auto document = reference("classes.json");
  using Class = detail::CharacterClass;
  const std::pair<const char*, int> names[] = {{"letter", Class::letter},
                                               {"number", Class::number},
                                               {"space", Class::space},
                                               {"punctuation", Class::punctuation},
                                               {"digit", Class::number | Class::newer_number}};
  for (const auto& [name, bits] : names) {
    CAPTURE(name);
    std::vector<bool> expected(0x110000);
    for (const auto& range : document["classes"][name]) {
      for (auto code = range[0].get<std::size_t>(); code <= range[1].get<std::size_t>(); ++code)
        expected[code] = true;
    }
    for (char32_t code = 0; code < 0x110000; ++code) {
      // A newer utf8proc may know characters that no version of the library knows.
      const bool newer = !expected[code] &&
                         utf8proc_category(static_cast<int>(code)) != UTF8PROC_CATEGORY_CN &&
                         std::string_view(utf8proc_unicode_version()) > "16";
      if (!newer && ((table[code] & bits) != 0) != expected[code]) {
        CAPTURE(static_cast<unsigned>(code));
        CHECK(((table[code] & bits) != 0) == expected[code]);
      }
    }
  }
}

TEST_CASE("text is brought into NFC as by the tokenizers library") {
  const detail::Normalizer nfc(detail::NormalForm::nfc);
  std::string buffer;
  const auto document = reference("classes.json");
  REQUIRE(document["nfc"].size() > 200);
  for (const auto& pair : document["nfc"]) {
    const auto text = pair[0].get<std::string>(), expected = pair[1].get<std::string>();
    CAPTURE(text);
    CHECK(nfc(text, buffer) == expected);
  }
  CHECK(nfc("plain", buffer) == "plain");
  CHECK(nfc("", buffer).empty());
}

TEST_CASE("normalising twice changes nothing more, and other normal forms are utf8proc's") {
  std::mt19937 random(3);
  std::string buffer, again;
  for (int i = 0; i < 300; ++i) {
    std::string text;
    for (int k = 0; k < 30; ++k) {
      // What Unicode 10 and later order otherwise is left out.
      char32_t code = any_character(random);
      if (random() % 2 == 0) code = 0x300 + static_cast<char32_t>(random() % 0x70);
      if ((detail::CharacterTable::instance()[code] & detail::CharacterClass::newer_mark) == 0)
        text += utf8(code);
    }
    const std::pair<detail::NormalForm, int> forms[] = {
        {detail::NormalForm::nfc, UTF8PROC_COMPOSE},
        {detail::NormalForm::nfd, UTF8PROC_DECOMPOSE},
        {detail::NormalForm::nfkc, UTF8PROC_COMPOSE | UTF8PROC_COMPAT},
        {detail::NormalForm::nfkd, UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT}};
    for (const auto& [form, options] : forms) {
      const detail::Normalizer normalizer(form);
      const std::string once(normalizer(text, buffer));
      CHECK(normalizer(once, again) == once);
      utf8proc_uint8_t* expected = nullptr;
      const auto length = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                       static_cast<utf8proc_ssize_t>(text.size()), &expected,
                                       static_cast<utf8proc_option_t>(UTF8PROC_STABLE | options));
      REQUIRE(length >= 0);
      CHECK(once == std::string(reinterpret_cast<const char*>(expected), static_cast<std::size_t>(length)));
      std::free(expected);
    }
  }
}

TEST_CASE("the pattern without a regular expression is the regular expression") {
  const detail::Gpt2Pattern by_hand;
  const detail::SplitPattern by_pcre2{std::string(detail::Gpt2Pattern::regex)};
  std::mt19937 random(5);
  const std::vector<std::string> parts{"'",  "'s",     "'re",    "'ll", "'v",     "s",  " ", "  ",
                                       "\n", "\t",     "a",      "Zz",  "1",      "23", "!", "?.",
                                       "\r", "\u00a0", "\u3000", "é",   "\u0301", "😀"};
  for (int i = 0; i < 3000; ++i) {
    std::string text;
    for (auto count = random() % 20; count > 0; --count) {
      text += random() % 3 != 0 ? parts[random() % parts.size()] : utf8(any_character(random));
    }
    using Ranges = std::vector<std::pair<std::size_t, std::size_t>>;
    Ranges one, other;
    by_hand.for_each_match(text, [&](std::size_t begin, std::size_t end) { one.emplace_back(begin, end); });
    by_pcre2.for_each_match(text,
                            [&](std::size_t begin, std::size_t end) { other.emplace_back(begin, end); });
    CAPTURE(text);
    CHECK(one == other);
  }
}

TEST_CASE("merges in long words are those of short ones") {
  // By the definition: the lowest rank first, of equal ones the leftmost.
  std::mt19937 random(11);
  for (int round = 0; round < 30; ++round) {
    constexpr std::int32_t letters = 3;
    detail::BpeMerges merges(64);
    std::vector<std::pair<std::int32_t, std::int32_t>> pairs;
    for (std::int32_t id = letters; id < letters + 40; ++id) {
      const auto any = [&] { return static_cast<std::int32_t>(random() % static_cast<unsigned>(id)); };
      const std::pair pair{any(), any()};
      if (std::find(pairs.begin(), pairs.end(), pair) != pairs.end()) continue;
      merges.add(pair.first, pair.second, {static_cast<std::uint32_t>(pairs.size()), id});
      pairs.push_back(pair);
    }
    for (const std::size_t length : {1u, 2u, 5u, 47u, 48u, 49u, 50u, 300u}) {
      Ids ids(length);
      for (auto& id : ids) id = static_cast<std::int32_t>(random() % letters);
      Ids expected = ids;
      for (;;) {
        std::size_t best = 0;
        detail::BpeMerges::Merge merge;
        for (std::size_t i = 0; i + 1 < expected.size(); ++i) {
          const auto here = merges(expected[i], expected[i + 1]);
          if (here.rank < merge.rank) {
            merge = here;
            best = i;
          }
        }
        if (merge.rank == detail::BpeMerges::no_merge) break;
        expected[best] = merge.id;
        expected.erase(expected.begin() + static_cast<std::ptrdiff_t>(best) + 1);
      }
      merges.apply(ids);
      CHECK(ids == expected);
    }
  }
}

TEST_CASE("text comes back, but for its normal form; bytes come out of any ids") {
  const auto tokenizer = neox();
  std::mt19937 random(17);
  for (int i = 0; i < 200; ++i) {
    std::string text, buffer;
    for (auto count = random() % 200; count > 0; --count)
      text += random() % 4 == 0 ? std::string(random() % 30, ' ') : utf8(any_character(random));
    const auto ids = tokenizer.encode(text);
    CHECK(tokenizer.decode(ids) == detail::Normalizer(detail::NormalForm::nfc)(text, buffer));
    StreamingDecoder decoder(tokenizer);
    std::string streamed;
    for (const std::int32_t id : ids) {
      const std::string piece = decoder.push(id);
      CHECK(find_invalid_utf8(piece) == std::string::npos);
      streamed += piece;
    }
    streamed += decoder.finish();
    CHECK(streamed == tokenizer.decode(ids));
  }
}

TEST_CASE("special tokens are found in text, and left out of it again") {
  const auto tokenizer = neox();
  CHECK(tokenizer.name() == "tokenizer.json");
  CHECK(tokenizer.vocab_size() == 923);
  CHECK(tokenizer.end_of_text() == 0);
  CHECK(tokenizer.id_of("<|padding|>") == 1);
  CHECK(tokenizer.id_of("not a token") == std::nullopt);
  CHECK(tokenizer.is_special(1));
  CHECK_FALSE(tokenizer.is_special(2));
  CHECK_FALSE(tokenizer.is_special(-1));
  const auto ids = tokenizer.encode("<|endoftext|>  <|padding|>");
  CHECK(ids == Ids{0, *tokenizer.id_of("  "), 1});
  CHECK(tokenizer.decode(ids) == "  ");
  CHECK(BpeTokenizer::open(data / "neox.json", 1).end_of_text() == 1);
  // By its text, which early files' config.json contradicts; an unknown text says nothing.
  CHECK(BpeTokenizer::open(data / "neox.json", 2, "<|endoftext|>").end_of_text() == 0);
  CHECK(BpeTokenizer::open(data / "neox.json", 2, "<nothing>").end_of_text() == 2);
  CHECK(BpeTokenizer::open(data / "llama3.json").end_of_text() == 1);  // <|end_of_text|>
  const AnyTokenizer shared(BpeTokenizer::open(data / "gpt2.json"));
  CHECK(shared.encode("a")[0] == shared.encode(" a")[0]);  // it puts a space before the text
}

TEST_CASE("a megabyte without a space takes less than a second") {
  const auto tokenizer = neox();
  std::mt19937 random(23);
  std::string letters, marks = "e", spaces(1'000'000, ' '), ordered;
  for (int i = 0; i < 1'000'000; ++i) letters += static_cast<char>('a' + random() % 26);
  // Marks in the order that takes the most moving, and one that becomes two.
  while (marks.size() < 1'000'000) marks += marks.size() < 500'000 ? "\u0301" : "\u0323";
  while (ordered.size() < 1'000'000) ordered += "\u0f73";
  for (const std::string& text : {letters, std::string(1'000'000, 'a'), marks, ordered, spaces}) {
    const double begin = seconds();
    const auto ids = tokenizer.encode(text);
    CHECK(seconds() - begin < time_limit);
    CHECK(ids.size() > 1000);
  }
}

TEST_CASE("text that is not UTF-8, and ids of other tokenizers, are refused") {
  const auto tokenizer = neox();
  check_error<ArgumentError>([&] { (void)tokenizer.encode("abc\xC3"); },
                             {"UTF-8", "\\xc3", "byte 3", "iconv"});
  check_error<ArgumentError>([&] { (void)tokenizer.encode("\xFF\xFE"); }, {"byte 0"});
  for (const std::int32_t bad : {-1, -100, 923, 50280}) {
    check_error<ArgumentError>([&] { (void)tokenizer.decode(Ids{5, 6, bad}); },
                               {std::to_string(bad), "position 2", "below 923"});
  }
}

TEST_CASE("files that are not read are refused with their fault") {
  const test::Folder folder;
  const auto refused = [&](const std::string& text, std::initializer_list<std::string> parts) {
    const auto path = folder.write("tokenizer.json", text);
    check_error<FileError>([&] { (void)BpeTokenizer::open(path); }, {"tokenizer.json"});
    check_error<FileError>([&] { (void)BpeTokenizer::open(path); }, parts);
  };
  refused("", {"found nothing"});
  refused("[]", {"an object"});
  refused("{}", {"pre_tokenizer"});
  refused(changed({{"pre_tokenizer", nullptr}}), {"no pre_tokenizer", "token ids"});
  refused(changed({{"pre_tokenizer", {{"type", "Metaspace"}}}}), {"\"Metaspace\"", "byte-level"});
  refused(changed({{"pre_tokenizer", {{"type", "Digits"}}}}), {"without ByteLevel"});
  refused(changed({{"normalizer", {{"type", "Lowercase"}}}}), {"field normalizer.type", "Lowercase"});
  refused(changed({{"decoder", {{"type", "WordPiece"}}}}), {"field decoder.type", "WordPiece"});
  refused(changed({{"model", {{"type", "Unigram"}}}}), {"field model.type", "Unigram"});
  refused(changed({{"model", {{"dropout", 0.1}}}}), {"field model.dropout"});
  refused(changed({{"model", {{"byte_fallback", true}}}}), {"byte_fallback"});
  refused(changed({{"model", {{"end_of_word_suffix", "</w>"}}}}), {"end_of_word_suffix", "</w>"});
  refused(changed({{"model", {{"merges", nullptr}}}}), {"field model.merges", "an array"});
  const auto merge = [](const nlohmann::json& pair) {
    return changed({{"model", {{"merges", nlohmann::json::array({pair})}}}});
  };
  refused(merge("a"), {"merges[0]", "two tokens"});
  refused(merge("a b c"), {"merges[0]", "two tokens"});
  refused(merge(nlohmann::json::array({"a", "b", "c"})), {"merges[0]", "two tokens"});
  refused(merge(nlohmann::json::array({"a", "qq"})), {"merges[0]", "lacks \"qq\""});
  refused(changed({{"model", {{"vocab", {{"a", nullptr}}}}}}), {"model.vocab.a", "every byte"});
  refused(changed({{"model", {{"vocab", {{"a", 3}}}}}}), {"id of its own", "3 again"});
  refused(changed({{"model", {{"vocab", {{"a", -1}}}}}}), {"model.vocab.a", "from 0"});
  refused(changed({{"model", {{"vocab", {{"a", 1 << 30}}}}}}), {"model.vocab.a", "from 0"});
  refused(changed({{"model", {{"vocab", {{"a", "x"}}}}}}), {"model.vocab.a", "an integer"});
  refused(changed({{"added_tokens", 5}}), {"added_tokens", "an array"});
  refused(changed({{"added_tokens", {{{"id", 5}, {"content", "new"}}}}}),
          {"added_tokens[0].id", "of its own"});
  refused(changed({{"added_tokens", {{{"id", 950}, {"content", "a"}}}}}),
          {"added_tokens[0].id", "found 950"});
  refused(changed({{"added_tokens", {{{"content", "a"}}}}}), {"added_tokens[0].id", "missing"});
  const auto split = [](const char* pattern, const char* behavior) {
    return nlohmann::json{{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", behavior}};
  };
  refused(changed({{"pre_tokenizer", split("(", "Isolated")}}), {"pattern.Regex", "PCRE2"});
  refused(changed({{"pre_tokenizer", split("[^\\S]", "Isolated")}}),
          {"pattern.Regex", "outside of brackets"});
  refused(changed({{"pre_tokenizer", split("a", "Sideways")}}), {"behavior", "Sideways"});
  refused(changed({{"pre_tokenizer",
                    {{"type", "Sequence"},
                     {"pretokenizers", {{{"type", "ByteLevel"}}, {{"type", "ByteLevel"}}}}}}}),
          {"pretokenizers[1]", "ByteLevel twice"});
  check_error<FileError>([&] { (void)BpeTokenizer::open(folder / "absent.json"); }, {"absent.json"});
  check_error<FileError>([&] { (void)BpeTokenizer::open(data / "neox.json", 5000); }, {"5000", "same model"});
  // Merges as one text each, as older files have them.
  auto older = reference("neox.json");
  for (auto& pair : older["model"]["merges"])
    pair = pair[0].get<std::string>() + " " + pair[1].get<std::string>();
  const auto path = folder.write("tokenizer.json", older.dump());
  CHECK(BpeTokenizer::open(path).encode("the definition") == neox().encode("the definition"));
}

TEST_CASE("damaged files are FileErrors or tokenizers, nothing else") {
  const test::Folder folder;
  const std::string text = test::content(data / "added.json");
  std::mt19937 random(29);
  for (int i = 0; i < 150; ++i) {
    std::string damaged = text;
    for (auto flips = 1 + random() % 3; flips > 0; --flips)
      damaged[random() % damaged.size()] = static_cast<char>(' ' + random() % 95);
    try {
      const auto tokenizer = BpeTokenizer::open(folder.write("tokenizer.json", damaged));
      const auto ids = tokenizer.encode("one [one] two [left] 123 - é");
      (void)tokenizer.decode(ids);
    } catch (const FileError& error) {
      CHECK(std::string(error.what()).find("tokenizer.json") != std::string::npos);
    }
  }
}
