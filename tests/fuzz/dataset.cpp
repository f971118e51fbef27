#include "target.hpp"

#include <sdlora/io/chat_template.hpp>
#include <sdlora/io/dataset.hpp>
#if __has_include(<zlib.h>)
#include <sdlora/io/gzip.hpp>
#endif

namespace fuzz_dataset {

using namespace sdlora;

/// Reads a file as it is, as ids alone, and with names of columns; throws as the first does.
void read_as(const std::filesystem::path& path, DataFormat format) {
  const ByteTokenizer tokenizer;
  fuzz::accepted([&] {
    (void)JsonlDataset::open(path, DatasetOptions{.max_length = 5, .vocab_size = 97, .format = format});
  });
  fuzz::accepted([&] {
    (void)JsonlDataset::open(path, tokenizer,
                             {.max_length = 9,
                              .end_text = true,
                              .format = format,
                              .completion_column = "text",
                              .prompt_template = "{prompt}\\n{completion}"});
  });
  static const ChatTemplate chat(
      "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}\n{% endfor %}");
  (void)JsonlDataset::open(path, tokenizer, {.format = format, .chat = chat}).report();
}

void read_jsonl(std::string_view input) { read_as(fuzz::write("data.jsonl", input), DataFormat::jsonl); }

void read_table(std::string_view input) {
  const auto path = fuzz::write("data.csv", input);
  fuzz::accepted([&] { (void)ColumnTemplate(input.substr(0, input.find('\n'))).columns(); });
  const bool tsv = fuzz::accepted([&] { read_as(path, DataFormat::tsv); });
  const bool text = fuzz::accepted(
      [&] { (void)JsonlDataset::open(path, ByteTokenizer{}, {.format = DataFormat::text}).report(); });
  if (!tsv || !text) read_as(path, DataFormat::csv);
}

[[maybe_unused]] const bool added = fuzz::add({"jsonl", fuzz::Parts::json_lines, read_jsonl}) &&
                                    fuzz::add({"table", fuzz::Parts::words, read_table});

#if __has_include(<zlib.h>)
void read_gzip(std::string_view input) {
  LineReader lines(fuzz::write("data.txt.gz", input));
  for (std::string line; lines.next_text(line);) {
  }
}

/// Two members, of which the first stores and the second packs its text.
std::vector<std::string> packed() {
  std::string file;
  for (const int level : {0, 9}) {
    z_stream stream = {};
    if (deflateInit2(&stream, level, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK) std::abort();
    std::string text = "a line\nand one of twelve twelve twelve words\n", to(256, '\0');
    stream.next_in = reinterpret_cast<Bytef*>(text.data());
    stream.avail_in = static_cast<uInt>(text.size());
    stream.next_out = reinterpret_cast<Bytef*>(to.data());
    stream.avail_out = static_cast<uInt>(to.size());
    if (deflate(&stream, Z_FINISH) != Z_STREAM_END) std::abort();
    file += to.substr(0, stream.total_out);
    deflateEnd(&stream);
  }
  return {file, file + std::string(3, '\0')};
}

[[maybe_unused]] const bool added_gzip = fuzz::add({"gzip", fuzz::Parts::bytes, read_gzip, packed});
#endif

}  // namespace fuzz_dataset
