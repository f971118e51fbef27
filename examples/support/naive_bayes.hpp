#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <map>
#include <sdlora/error.hpp>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "labelled_text.hpp"

namespace sdlora::examples {

/// The words of a text: runs of ASCII letters and digits, in lower case.
inline std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  bool inside = false;
  for (const char c : text) {
    const bool upper = c >= 'A' && c <= 'Z';
    const bool part = upper || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (part && !inside) words.emplace_back();
    if (part) words.back() += upper ? static_cast<char>(c - 'A' + 'a') : c;
    inside = part;
  }
  return words;
}

/// Multinomial naive Bayes on words: argmax over classes k of
/// log P(k) + sum over words w of log((count(w, k) + smoothing) / (count(k) + smoothing * vocabulary)),
/// P(k) the share of k among the training texts. Words that did not occur in training are passed over; of
/// equal scores the first name in byte order wins. (McCallum and Nigam 1998.)
class NaiveBayes {
 public:
  /// ArgumentError where there is no training text.
  explicit NaiveBayes(std::span<const LabelledText> training) {
    if (training.empty()) throw ArgumentError("NaiveBayes: expected training texts, found none");
    std::map<std::string, std::size_t> classes;
    for (const LabelledText& item : training) classes.emplace(item.label, 0);
    for (auto& [label, index] : classes) {
      index = labels_.size();
      labels_.push_back(label);
    }
    texts_.resize(labels_.size());
    words_.resize(labels_.size());
    for (const LabelledText& item : training) {
      const std::size_t label = classes.at(item.label);
      ++texts_[label];
      for (std::string& word : words_of(item.text)) {
        auto& counts = counts_.try_emplace(std::move(word), labels_.size()).first->second;
        ++counts[label];
        ++words_[label];
      }
    }
  }

  /// The class names, in byte order.
  std::span<const std::string> labels() const { return labels_; }
  /// Number of different words in the training texts.
  std::size_t vocabulary() const { return counts_.size(); }
  /// The class with the most training texts.
  const std::string& majority() const {
    return labels_[static_cast<std::size_t>(std::ranges::max_element(texts_) - texts_.begin())];
  }

  /// Log of the joint probability of the text's known words and each class, in the order of `labels()`.
  /// `smoothing` > 0, in counts.
  std::vector<double> scores(std::string_view text, double smoothing) const {
    if (!(smoothing > 0)) throw ArgumentError("NaiveBayes: expected a smoothing above 0");
    std::size_t total = 0;
    for (const std::size_t count : texts_) total += count;
    std::vector<double> scores(labels_.size());
    for (std::size_t k = 0; k < scores.size(); ++k)
      scores[k] = std::log(static_cast<double>(texts_[k]) / static_cast<double>(total));
    const auto vocabulary = static_cast<double>(counts_.size());
    for (const std::string& word : words_of(text)) {
      const auto found = counts_.find(word);
      if (found == counts_.end()) continue;
      for (std::size_t k = 0; k < scores.size(); ++k) {
        scores[k] += std::log((static_cast<double>(found->second[k]) + smoothing) /
                              (static_cast<double>(words_[k]) + smoothing * vocabulary));
      }
    }
    return scores;
  }

  const std::string& classify(std::string_view text, double smoothing) const {
    const std::vector<double> all = scores(text, smoothing);
    return labels_[static_cast<std::size_t>(std::ranges::max_element(all) - all.begin())];
  }

 private:
  std::vector<std::string> labels_;
  std::vector<std::size_t> texts_;                                    // (classes)
  std::vector<std::size_t> words_;                                    // (classes)
  std::unordered_map<std::string, std::vector<std::size_t>> counts_;  // word -> (classes)
};

/// A share of right answers and the binomial standard error of it as an estimate, sqrt(p (1 - p) / items).
struct Accuracy {
  std::size_t right = 0;
  std::size_t items = 0;

  double value() const { return static_cast<double>(right) / static_cast<double>(items); }
  double standard_error() const { return std::sqrt(value() * (1 - value()) / static_cast<double>(items)); }
};

/// Counts the texts to which `classify(text)` gives their label. ArgumentError where there are none.
template <class Classify>
Accuracy measure_accuracy(std::span<const LabelledText> texts, const Classify& classify) {
  if (texts.empty()) throw ArgumentError("measure_accuracy: expected texts, found none");
  Accuracy accuracy;
  accuracy.items = texts.size();
  for (const LabelledText& item : texts) accuracy.right += classify(item.text) == item.label ? 1u : 0u;
  return accuracy;
}

/// What needs no language model: the majority class, and naive Bayes with the smoothing that does best on the
/// validation split (of equals the larger).
struct Baselines {
  std::string majority_class;
  Accuracy majority;
  double smoothing = 0;
  Accuracy naive_bayes_validation;
  Accuracy naive_bayes;
};

inline Baselines measure_baselines(std::span<const LabelledText> training,
                                   std::span<const LabelledText> validation,
                                   std::span<const LabelledText> test) {
  constexpr std::array smoothings{2.0, 1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001};
  const NaiveBayes model(training);
  const auto accuracy = [&](std::span<const LabelledText> texts, double smoothing) {
    return measure_accuracy(texts, [&](std::string_view text) { return model.classify(text, smoothing); });
  };
  Baselines result;
  result.majority_class = model.majority();
  result.majority = measure_accuracy(test, [&](std::string_view) { return result.majority_class; });
  for (const double smoothing : smoothings) {
    const Accuracy here = accuracy(validation, smoothing);
    if (result.smoothing == 0 || here.right > result.naive_bayes_validation.right) {
      result.smoothing = smoothing;
      result.naive_bayes_validation = here;
    }
  }
  result.naive_bayes = accuracy(test, result.smoothing);
  return result;
}

}  // namespace sdlora::examples
