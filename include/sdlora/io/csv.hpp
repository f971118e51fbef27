#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "../error.hpp"
#include "input_file.hpp"
#include "utf8.hpp"

namespace sdlora {

/// How a table is written.
enum class TableFormat {
  csv,  ///< commas, and quotes by RFC 4180: "a, ""b""", line ends inside of them included
  tsv,  ///< tabs; a quote is a character like any other, as IANA's text/tab-separated-values has it
};

/// Reads a table row by row, the header too: `use(fields, place)`, where `place` is "line 7", the line that
/// the row begins in. Empty lines are passed over, and a carriage return before a line feed belongs to it.
/// FileErrors, as of InputFile and where a row is not UTF-8, a quote is never closed, or something
/// stands behind one, name the line.
template <class Use>
void for_each_table_row(const std::filesystem::path& path, TableFormat format, const Use& use) {
  LineReader lines(path);
  std::string line;
  while (lines.next_text(line)) {
    const std::string place = lines.place();
    const auto fail = [&](const std::string& what) { throw FileError(lines.name(), place, what); };
    if (line.empty()) continue;
    std::vector<std::string> fields;
    if (format == TableFormat::tsv) {
      for (std::string_view rest = line;;) {
        const std::size_t tab = rest.find('\t');
        fields.emplace_back(rest.substr(0, tab));
        if (tab == std::string_view::npos) break;
        rest.remove_prefix(tab + 1);
      }
      use(fields, place);
      continue;
    }
    for (std::size_t at = 0;;) {
      std::string& field = fields.emplace_back();
      if (at < line.size() && line[at] == '"') {
        ++at;
        for (;;) {
          const std::size_t quote = line.find('"', at);
          field.append(line, at, quote == std::string::npos ? quote : quote - at);
          if (quote == std::string::npos) {  // the field goes on in the next line
            field += '\n';
            if (!lines.next_text(line)) {
              fail(
                  "expected a quote that ends the field, found the end of the file; close it, or double the "
                  "quotes inside of fields");
            }
            at = 0;
          } else if (quote + 1 < line.size() && line[quote + 1] == '"') {
            field += '"';
            at = quote + 2;
          } else {
            at = quote + 1;
            break;
          }
        }
        if (at < line.size() && line[at] != ',') {
          fail("expected a comma behind the quoted field, found " +
               detail::in_quotes(std::string_view(line).substr(at, 20)) +
               "; double the quotes inside of fields");
        }
      } else {
        const std::size_t comma = line.find(',', at);
        field.assign(line, at, comma == std::string::npos ? comma : comma - at);
        at = comma == std::string::npos ? line.size() : comma;
      }
      if (at == line.size()) break;
      ++at;
    }
    use(fields, place);
  }
}

}  // namespace sdlora
