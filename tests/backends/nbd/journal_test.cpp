#include "backends/nbd/journal_file.hpp"

#include <gtest/gtest.h>

#include <deque>

#include "tests/support/pattern.hpp"
#include "tests/support/random.hpp"

namespace nbdring {
namespace {

void append(Journal& journal, std::uint64_t sequence, const BackendRequest& request) {
  ASSERT_TRUE(journal.reserve(Journal::bytes_for(request)));
  journal.append(sequence, request);
}

std::vector<std::uint64_t> sequences(const Journal& journal) {
  std::vector<std::uint64_t> found;
  for (Journal::Cursor cursor(journal); !cursor.at_end(); cursor.advance()) {
    found.push_back(cursor.entry().sequence);
  }
  return found;
}

TEST(Journal, KeepsEachKindOfChangeWithItsBytes) {
  JournalFile file(64 * 1024, nullptr);
  const auto owned = file.add();
  Journal& journal = *owned;
  const auto bytes = pattern(7, 4096, 1000);
  append(journal, 1, BackendRequest::write(4096, bytes, true));
  append(journal, 2, BackendRequest::trim(0, 1ULL << 40, false));
  ZeroMode mode;
  mode.no_hole = true;
  append(journal, 3, BackendRequest::write_zeroes(512, 1024, mode));
  EXPECT_EQ(journal.entries(), 3U);
  EXPECT_EQ(journal.payload_bytes(), 1000U);

  Journal::Cursor cursor(journal);
  EXPECT_EQ(cursor.entry().request.kind, BackendRequest::Kind::write);
  EXPECT_TRUE(matches_pattern(cursor.entry().request.source, 7, 4096));
  cursor.advance();
  EXPECT_EQ(cursor.entry().request.kind, BackendRequest::Kind::trim);
  EXPECT_EQ(cursor.entry().request.length, 1ULL << 40);
  cursor.advance();
  EXPECT_EQ(cursor.entry().request.offset, 512U);
  EXPECT_TRUE(cursor.entry().request.mode.no_hole);
  cursor.advance();
  EXPECT_TRUE(cursor.at_end());
}

TEST(Journal, DropsWhatIsDurableAndNothingElse) {
  JournalFile file(64 * 1024, nullptr);
  const auto owned = file.add();
  Journal& journal = *owned;
  for (std::uint64_t i = 1; i <= 5; ++i) append(journal, 2 * i, BackendRequest::trim(i, 1, false));
  journal.prune(5);
  EXPECT_EQ(sequences(journal), (std::vector<std::uint64_t>{6, 8, 10}));
  journal.prune(10);
  EXPECT_TRUE(journal.empty());
  EXPECT_EQ(journal.entries(), 0U);
}

TEST(Journal, HasNoRoomBeyondItsCapacity) {
  JournalFile file(8192, nullptr);
  const auto owned = file.add();
  Journal& journal = *owned;
  const auto bytes = pattern(1, 0, 4000);
  const auto request = BackendRequest::write(0, bytes, false);
  EXPECT_TRUE(journal.reserve(Journal::bytes_for(request)));
  EXPECT_TRUE(journal.reserve(Journal::bytes_for(request)));
  EXPECT_FALSE(journal.reserve(Journal::bytes_for(request)));
  journal.unreserve(Journal::bytes_for(request));
  EXPECT_TRUE(journal.reserve(Journal::bytes_for(request)));
  EXPECT_TRUE(journal.is_half_full());
}

// Entries cross the ring's end again and again.
TEST(Journal, GoesRoundAndRound) {
  Random random(1);
  JournalFile file(16 * 1024, nullptr);
  const auto owned = file.add();
  Journal& journal = *owned;
  std::deque<std::pair<std::uint64_t, std::size_t>> kept;  // offset, length
  for (std::uint64_t sequence = 1; sequence < 2000; ++sequence) {
    const std::size_t length = random.between(1, 3000);
    const auto bytes = pattern(sequence, sequence * 4096, length);
    const auto request = BackendRequest::write(sequence * 4096, bytes, false);
    while (!journal.reserve(Journal::bytes_for(request))) {
      journal.prune(sequence - kept.size());
      kept.pop_front();
    }
    journal.append(sequence, request);
    kept.emplace_back(sequence * 4096, length);
    std::size_t i = 0;
    for (Journal::Cursor cursor(journal); !cursor.at_end(); cursor.advance(), ++i) {
      const Journal::Entry entry = cursor.entry();
      ASSERT_EQ(entry.request.offset, kept.at(i).first);
      ASSERT_EQ(entry.request.source.size(), kept.at(i).second);
      ASSERT_TRUE(matches_pattern(entry.request.source, entry.sequence, entry.request.offset));
    }
    ASSERT_EQ(i, kept.size());
  }
}

}  // namespace
}  // namespace nbdring
