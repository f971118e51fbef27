#include <sdlora/model/batch.hpp>

#include <doctest/doctest.h>

using namespace sdlora;

namespace {
using Ids = std::vector<std::int32_t>;
Ids copy(std::span<const std::int32_t> values) { return {values.begin(), values.end()}; }
constexpr std::int32_t none = ignored_label;
}  // namespace

TEST_CASE("batch: a row's target is the label one further on, within its sequence") {
  Batch batch(std::vector<Example>{
      {{1, 2, 3}, {1, 2, 3}}, {{4}, {4}}, {{5, 6}, {none, 6}}, {{7, 8, 9}, {7, none, 9}}});
  CHECK(batch.tokens() == 9);
  CHECK(copy(batch.ids()) == Ids{1, 2, 3, 4, 5, 6, 7, 8, 9});
  CHECK(copy(batch.targets()) == Ids{2, 3, none, none, 6, none, none, 9, none});
  CHECK(batch.last_rows().size() == batch.sequences().count());
  CHECK(batch.last_rows().back() + 1 == batch.tokens());
  CHECK(batch.loss_tokens() == 4);
  CHECK(batch.sequences().count() == 4);
  CHECK(batch.sequences().first(2) == 4);
  CHECK(batch.sequences().length(3) == 3);

  batch.clear();
  CHECK(batch.empty());
  CHECK(batch.sequences().count() == 0);
  CHECK(batch.loss_tokens() == 0);
  batch.add({{3, 1}, {3, 1}});
  CHECK(copy(batch.targets()) == Ids{1, none});
  CHECK(Batch().empty());
}

TEST_CASE("batch: from right-padded rows") {
  const Ids ids{1, 2, 0, 0, 3, 4, 5, 6, 7, 0, 0, 0};
  const Ids labels{none, 2, 9, 9, 3, none, 5, 6, 7, 9, 9, 9};
  const std::vector<std::size_t> lengths{2, 4, 1};
  const Batch batch = Batch::from_padded(ids, labels, lengths);
  CHECK(copy(batch.ids()) == Ids{1, 2, 3, 4, 5, 6, 7});
  CHECK(copy(batch.targets()) == Ids{2, none, none, 5, 6, none, none});
  const Batch all = Batch::from_padded(ids, {}, lengths);
  CHECK(copy(all.targets()) == Ids{2, none, 4, 5, 6, none, none});
  CHECK(Batch::from_padded({}, {}, {}).empty());
}

TEST_CASE("batch: what does not fit") {
  const Ids six{1, 2, 3, 4, 5, 6}, five{1, 2, 3, 4, 5};
  using Lengths = std::vector<std::size_t>;
  CHECK_THROWS_WITH_AS(Batch::from_padded(five, {}, Lengths{2, 2}),
                       doctest::Contains("2 equally long rows, found 5 ids"), ShapeError);
  CHECK_THROWS_WITH_AS(Batch::from_padded(six, five, Lengths{2, 2}),
                       doctest::Contains("6 ids and 5 labels; pad every row"), ShapeError);
  CHECK_THROWS_WITH_AS(Batch::from_padded(six, {}, Lengths{2, 4}),
                       doctest::Contains("row 1 is said to have 4 tokens but rows are 3 wide"), ShapeError);
  CHECK_THROWS_WITH_AS(Batch::from_padded(six, {}, Lengths{2, 0}), doctest::Contains("at least one token"),
                       ArgumentError);
  CHECK_THROWS_WITH_AS(Batch::from_padded(six, {}, {}), doctest::Contains("0 equally long rows"), ShapeError);
  CHECK_THROWS_WITH_AS(Batch(std::vector<Example>{{{1, 2}, {1}}}),
                       doctest::Contains("expected a label for each of 2 tokens, found 1 labels;"),
                       ArgumentError);
  CHECK_THROWS_WITH_AS(Batch(std::vector<Example>{{}}),
                       doctest::Contains("expected an example of at least one token, found none;"),
                       ArgumentError);
}
