// Loss, perplexity and accuracy of a checkpoint on examples, with or without an adapter.
#include <sdlora/io/atomic_file.hpp>
#include <sdlora/io/base_checkpoint.hpp>
#include <sdlora/io/dataset.hpp>
#include <sdlora/model/generate.hpp>
#include <sdlora/training/candidate_scorer.hpp>
#include <sdlora/training/evaluate.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "commands.hpp"
#include "support/any_adapter.hpp"
#include "support/data_flags.hpp"
#include "support/placements.hpp"
#include "support/stop_text.hpp"
#include "support/text.hpp"
#include "support/weights_flag.hpp"

namespace {

using namespace sdlora;
using Json = nlohmann::ordered_json;
using Ids = std::vector<std::int32_t>;
using Model = examples::Placements::model_type;

/// A prompt and the answer that the data has for it, without what ends it.
struct Question {
  Ids prompt;
  Ids answer;
  Ids tail;  ///< with it
};

/// FileError where an example is no prompt with one answer behind it.
std::vector<Question> questions_of(const JsonlDataset& data, const std::filesystem::path& file,
                                   std::span<const std::int32_t> ends) {
  std::vector<Question> questions;
  for (std::size_t i = 0; i < data.size(); ++i) {
    const Example& example = data[i];
    const std::size_t first = detail::tail_of(example, i, "evaluate");
    const auto middle = static_cast<std::ptrdiff_t>(first);
    const bool whole = std::find(example.labels.begin() + middle, example.labels.end(), ignored_label) ==
                       example.labels.end();
    if (first == 0 || !whole) {
      throw FileError(
          file.string(), "example " + std::to_string(i + 1),
          std::string("expected a prompt and one answer behind it, found ") +
              (first == 0 ? "no prompt" : "several parts to learn") +
              "; give prompt and completion, or leave out --accuracy, --candidates and --generate");
    }
    Question question;
    question.prompt.assign(example.ids.begin(), example.ids.begin() + middle);
    question.tail.assign(example.ids.begin() + middle, example.ids.end());
    question.answer = question.tail;
    while (!question.answer.empty() &&
           std::find(ends.begin(), ends.end(), question.answer.back()) != ends.end()) {
      question.answer.pop_back();
    }
    questions.push_back(std::move(question));
  }
  return questions;
}

void require_number(double value) {
  if (std::isfinite(value)) return;
  throw Error("the loss is " + std::to_string(value) +
              ", expected a finite number; the checkpoint's or the adapter's values are damaged");
}

/// What is measured, by the flags.
struct Flags {
  bool accuracy = false, per_token = false, generated = false, json = false;
  std::vector<std::string> candidates;
  std::size_t max_tokens = 200;
  std::string stop;
  std::filesystem::path predictions;

  bool chooses() const { return accuracy || !candidates.empty(); }
};

/// Ids as what a user reads: text where there is a tokenizer.
class Reader {
 public:
  Reader(const std::filesystem::path& directory, const CheckpointConfig& config) : ends_(config.stop_tokens) {
    try {
      tokenizer_ = examples::read_tokenizer(directory, config);
    } catch (const FileError& error) {
      why_not_ = error.what();
    }
    if (tokenizer_ && tokenizer_->end_of_text()) ends_.push_back(*tokenizer_->end_of_text());
  }

  /// What ends an answer.
  const Ids& ends() const { return ends_; }

  bool has_text() const { return tokenizer_.has_value(); }

  const AnyTokenizer& tokenizer(const std::string& wanted_by) const {
    if (!tokenizer_)
      throw ArgumentError(wanted_by + ": expected a tokenizer beside the checkpoint: " + why_not_);
    return *tokenizer_;
  }

  Json json(const Ids& ids) const {
    if (!tokenizer_) return ids;
    return tokenizer_->decode(ids);
  }

 private:
  std::optional<AnyTokenizer> tokenizer_;
  std::string why_not_;
  Ids ends_;
};

/// Whether what the model writes, greedily, is the answer; what it writes goes to `row`.
bool generates_answer(const Model& model, const Question& question, const Reader& reader, const Flags& flags,
                      GenerateOptions options, Json& row) {
  options.stop_tokens = reader.ends();
  options.max_tokens = flags.max_tokens;
  if (!reader.has_text()) {
    const Ids found = generate(model, question.prompt, options);
    row["generated"] = found;
    return found == question.answer;
  }
  const AnyTokenizer& tokenizer = reader.tokenizer("--generate");
  const std::string stop = examples::unescaped(flags.stop);
  const auto until_stop = [&](const Ids& ids) {
    examples::StopText stopping(stop);
    std::string text = stopping.push(tokenizer.decode(ids));
    return text + stopping.finish();
  };
  if (!stop.empty()) {
    // Tokens behind the stop would be thrown away.
    Ids so_far;
    options.on_token = [&](std::int32_t id) {
      so_far.push_back(id);
      return tokenizer.decode(so_far).find(stop) == std::string::npos;
    };
  }
  const std::string found = until_stop(generate(model, question.prompt, options));
  row["generated"] = found;
  return found == until_stop(question.answer);
}

/// The share of `count` and its standard error as a sample of a binomial.
void add_share(Json& results, const std::string& name, std::size_t right, std::size_t count) {
  const double share = static_cast<double>(right) / static_cast<double>(count);
  results[name] = share;
  results[name + "_standard_error"] = std::sqrt(share * (1.0 - share) / static_cast<double>(count));
}

void print_text(const Json& results) {
  for (const auto& [name, value] : results.items()) {
    std::string shown = name;
    std::replace(shown.begin(), shown.end(), '_', ' ');
    if (value.is_number_float()) {
      std::printf("%s %.6f\n", shown.c_str(), value.get<double>());
    } else {
      std::printf("%s %s\n", shown.c_str(), value.dump().c_str());
    }
  }
}

std::string dumped(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

/// The task of choosing each answer among `given`, or among all answers of the data where that is empty.
ChoiceTask task_of(const JsonlDataset& data, const std::vector<std::string>& given,
                   const std::vector<Ids>& ids, const std::vector<Question>& questions,
                   const Reader& reader) {
  if (given.empty()) return choice_task(data, distinct_completions(data));
  const auto other = std::find_if(questions.begin(), questions.end(), [&](const Question& question) {
    return std::find(ids.begin(), ids.end(), question.tail) == ids.end();
  });
  if (other == questions.end()) return choice_task(data, ids);
  std::string all;
  for (const std::string& each : given) all += (all.empty() ? "\"" : ", \"") + each + "\"";
  throw ArgumentError("--candidates: expected every answer of the data among " + all + ", found " +
                      dumped(reader.json(other->answer)) + " in example " +
                      std::to_string(other - questions.begin() + 1) +
                      "; name all, or give --accuracy, which takes them from the data");
}

}  // namespace

int sdlora::commands::evaluate(CommandLine& command, int argc, char** argv) {
  std::filesystem::path model_directory, data_path;
  Flags flags;
  command.option("--model", model_directory, "checkpoint directory").required();
  const examples::AdapterFlags adapter(command);
  command.option("--data", data_path, examples::data_help).required();
  const examples::DataFlags data_flags(command);
  command.flag(
      "--accuracy", flags.accuracy,
      "also the share of the examples whose completion is the likeliest of all the data's completions");
  command.texts("--candidates", flags.candidates,
                "the same, of these, a space before one included: yes,no,maybe");
  const auto per_token =
      command.flag("--per-token", flags.per_token,
                   "compare candidates by the mean log-probability of their tokens, not the sum");
  command.flag("--generate", flags.generated,
               "also the share of the examples whose completion the model writes, greedily, to the letter");
  const auto max_tokens = command.option("--max-tokens", flags.max_tokens, "of --generate");
  const auto stop =
      command.option("--stop", flags.stop,
                     "text that ends an answer of --generate, and is no part of it; \\n is a line's end");
  command.option(
      "--predictions", flags.predictions,
      "JSONL to write, an object for each example: loss, tokens, answer, and what was chosen or generated");
  command.flag("--json", flags.json, "one object");
  const examples::WeightsFlag weights(command);
  command.threads();
  command.examples(
      "sdlora evaluate --model mamba-130m-hf --adapter my-adapter --data test.jsonl\n"
      "sdlora evaluate --model mamba-130m-hf --data test.csv --candidates yes,no --predictions "
      "answers.jsonl");
  return command.run(argc, argv, [&] {
    const LoadBaseOptions loading = weights.options();
    const DatasetOptions data_options = data_flags.options();
    if (!flags.chooses() && per_token.given())
      throw ArgumentError(
          "--per-token: expected --accuracy or --candidates beside it, found neither; give one");
    for (const auto& [given, name] :
         {std::pair{max_tokens.given(), "--max-tokens"}, {stop.given(), "--stop"}}) {
      if (given && !flags.generated)
        throw ArgumentError(std::string(name) + ": expected --generate beside it, found none; give both");
    }
    std::error_code none;
    if (!flags.predictions.empty() && std::filesystem::equivalent(flags.predictions, data_path, none))
      throw ArgumentError("--predictions is the file of --data; choose another, so that the data stays");
    const CheckpointConfig config = read_base_config(model_directory);
    const Reader reader(model_directory, config);
    if (stop.given()) (void)reader.tokenizer("--stop");
    std::vector<Ids> candidates;
    for (const std::string& text : flags.candidates) {
      const AnyTokenizer& tokenizer = reader.tokenizer("--candidates");
      candidates.push_back(tokenizer.encode(text));
      if (candidates.back().empty())
        throw ArgumentError(
            "--candidates: expected texts with commas between them, found an empty one; remove it");
      // As completions are read.
      if (tokenizer.end_of_text()) candidates.back().push_back(*tokenizer.end_of_text());
    }
    const JsonlDataset data = examples::open_data(data_path, model_directory, config, data_options);
    std::vector<Question> questions;
    ChoiceTask task;
    if (flags.chooses() || flags.generated) questions = questions_of(data, data_path, reader.ends());
    if (flags.chooses()) task = task_of(data, flags.candidates, candidates, questions, reader);
    std::optional<AtomicFile> file;
    if (!flags.predictions.empty()) file.emplace(flags.predictions);
    const examples::AnyBasePointer base = load_base<presets::AnyMamba>(model_directory, loading);
    const auto model = adapter.load(base);
    command.note(data.report());

    const std::size_t count = data.size();
    std::vector<Json> rows(count);
    Loss loss;
    if (file) {
      for (std::size_t i = 0; i < count; ++i) {
        const Loss each = evaluate_loss(*model, data.examples().subspan(i, 1));
        loss.sum += each.sum;
        loss.count += each.count;
        rows[i] = {{"example", i + 1}, {"loss", each.mean()}, {"label_tokens", each.count}};
      }
    } else {
      loss = evaluate_loss(*model, data);
    }
    require_number(loss.mean());
    Json results{{"examples", count},
                 {"label_tokens", loss.count},
                 {"loss", loss.mean()},
                 {"perplexity", perplexity(loss)}};
    for (std::size_t i = 0; i < questions.size(); ++i) {
      rows[i]["prompt"] = reader.json(questions[i].prompt);
      rows[i]["answer"] = reader.json(questions[i].answer);
    }
    if (flags.chooses()) {
      const ChoiceResult result = evaluate_choices(*model, task, {.per_token = flags.per_token});
      std::size_t right = 0;
      for (std::size_t i = 0; i < count; ++i) {
        Ids chosen = task.candidates[result.predictions[i]];
        const bool correct = result.predictions[i] == task.answers[i];
        while (!chosen.empty() &&
               std::find(reader.ends().begin(), reader.ends().end(), chosen.back()) != reader.ends().end()) {
          chosen.pop_back();
        }
        rows[i]["chosen"] = reader.json(chosen);
        rows[i]["correct"] = correct;
        right += correct ? 1 : 0;
      }
      results["candidates"] = task.candidates.size();
      add_share(results, "accuracy", right, count);
    }
    if (flags.generated) {
      GenerateOptions options;
      options.vocabulary = examples::used_vocabulary(model_directory, config);
      std::size_t right = 0;
      for (std::size_t i = 0; i < count; ++i) {
        const bool match = generates_answer(*model, questions[i], reader, flags, options, rows[i]);
        rows[i]["match"] = match;
        right += match ? 1 : 0;
      }
      add_share(results, "exact_match", right, count);
    }
    if (file) {
      for (const Json& row : rows) file->write(dumped(row) + "\n");
      file->commit();
      command.note("predictions written to " + flags.predictions.string());
    }
    if (flags.json) {
      std::printf("%s\n", dumped(results).c_str());
    } else {
      print_text(results);
    }
  });
}
