// A process that is killed (SIGKILL) while it keeps journals, and what the next one finds.

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "backends/nbd/journal_file.hpp"
#include "tests/support/held_keepsakes.hpp"
#include "tests/support/pattern.hpp"
#include "tests/support/random.hpp"

namespace nbdring {
namespace {

constexpr std::size_t capacity = 64 * 1024;

void append(Journal& journal, std::uint64_t sequence, std::size_t length) {
  const auto bytes = pattern(sequence, sequence * 4096, length);
  const auto request = BackendRequest::write(sequence * 4096, bytes, false);
  ASSERT_TRUE(journal.reserve(Journal::bytes_for(request)));
  journal.append(sequence, request);
}

TEST(JournalFile, GivesTheNextOneWhatTheFormerOneHad) {
  HeldKeepsakes kept;
  {
    JournalFile file(capacity, &kept);
    EXPECT_FALSE(file.was_found());
    const auto first = file.add();
    const auto second = file.add();
    append(*first, 1, 100);
    append(*second, 2, 3000);
    append(*first, 3, 1);
    first->prune(1);
    file.acknowledged() = 3;
    file.durable() = 1;
  }
  JournalFile file(4096, &kept);
  ASSERT_TRUE(file.was_found());
  EXPECT_EQ(file.acknowledged(), 3U);
  EXPECT_EQ(file.durable(), 1U);
  const auto found = file.take_found();
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0]->capacity(), capacity);
  EXPECT_EQ(found[0]->entries(), 1U);
  EXPECT_EQ(found[1]->payload_bytes(), 3000U);
  const Journal::Entry entry = Journal::Cursor(*found[1]).entry();
  EXPECT_EQ(entry.sequence, 2U);
  EXPECT_TRUE(matches_pattern(entry.request.source, 2, 2 * 4096));
  append(*file.add(), 4, 10);  // the file has room for more
}

TEST(JournalFile, KnowsWhatWasOnItsWay) {
  HeldKeepsakes kept;
  JournalFile former(capacity, &kept);
  const auto used = former.add();
  const auto idle = former.add();
  Journal::Way way(used.get());
  way.begin();
  way.begin();  // sent again after a loss: still one
  JournalFile file(capacity, &kept);
  const auto found = file.take_found();
  EXPECT_TRUE(found[0]->take_lost_changes());
  EXPECT_FALSE(found[0]->take_lost_changes());
  EXPECT_FALSE(found[1]->take_lost_changes());
}

TEST(JournalFile, NothingIsOnItsWayWhenItHasArrived) {
  HeldKeepsakes kept;
  JournalFile former(capacity, &kept);
  const auto journal = former.add();
  {
    Journal::Way way(journal.get());
    way.begin();
    Journal::Way never_sent(journal.get());
  }
  EXPECT_FALSE(JournalFile(capacity, &kept).take_found()[0]->take_lost_changes());
}

TEST(JournalFile, RemembersFenceAndIdentity) {
  HeldKeepsakes kept;
  const auto until = Clock::now() + std::chrono::seconds(3);
  Export about;
  about.size = 12345;
  about.name = std::string(3000, 'n');
  about.description = "a disk";
  {
    JournalFile file(capacity, &kept);
    file.note_fence(until);
    file.note_fence(until - std::chrono::seconds(1));
    file.set_identity(about);
  }
  const JournalFile file(capacity, &kept);
  EXPECT_EQ(file.fence(), until);
  EXPECT_EQ(file.identity().size, 12345U);
  EXPECT_EQ(file.identity().description, "a disk");
  EXPECT_EQ(file.identity().name, JournalFile::shortened(about).name);
  EXPECT_LT(file.identity().name.size(), about.name.size());
}

TEST(JournalFile, RefusesWhatIsNoneOrDamaged) {
  HeldKeepsakes kept;
  const FileDescriptor other = make_memory("other", 8192);
  kept.keep("journal", other.get());
  EXPECT_THROW(JournalFile(capacity, &kept), Failure);

  kept.drop("journal");
  {
    JournalFile file(capacity, &kept);
    append(*file.add(), 1, 5000);
  }
  // The entry's sequence, its first word: behind the head and the journal's own page.
  const std::uint64_t zero = 0;
  const auto fd = kept.find("journal");
  ASSERT_EQ(::pwrite(fd->get(), &zero, sizeof zero, 2 * 4096), 8);
  JournalFile file(capacity, &kept);
  EXPECT_THROW(file.take_found(), Failure);
}

/// What the child tells of its progress: shared memory outlives it.
struct Progress {
  std::atomic<std::uint64_t> acknowledged;  // every entry up to it was appended
  std::atomic<std::uint64_t> pruned;        // entries up to it may be gone
};

[[noreturn]] void append_for_ever(Keepsakes& kept, Progress& progress, std::uint64_t seed) {
  Random random(seed);
  JournalFile file(capacity, &kept);
  const auto journal = file.add();
  for (std::uint64_t sequence = 1;; ++sequence) {
    const auto bytes = pattern(sequence, sequence * 4096, random.between(1, 9000));
    const auto request = BackendRequest::write(sequence * 4096, bytes, false);
    while (!journal->reserve(Journal::bytes_for(request))) {
      const std::uint64_t durable = random.between(progress.pruned, sequence - 1);
      file.durable() = durable;
      progress.pruned = durable;
      journal->prune(durable);
    }
    journal->append(sequence, request);
    progress.acknowledged = sequence;
  }
}

// Whole, in order, from the oldest that may not be gone to the newest that was acknowledged.
void check(Keepsakes& kept, const Progress& progress) {
  JournalFile file(capacity, &kept);
  if (!file.was_found() || progress.acknowledged == 0) return;
  const auto found = file.take_found();
  ASSERT_EQ(found.size(), 1U);
  found[0]->prune(file.durable());
  std::uint64_t expected = file.durable() + 1;
  for (Journal::Cursor cursor(*found[0]); !cursor.at_end(); cursor.advance(), ++expected) {
    const Journal::Entry entry = cursor.entry();
    ASSERT_EQ(entry.sequence, expected);
    ASSERT_EQ(entry.request.offset, expected * 4096);
    ASSERT_TRUE(matches_pattern(entry.request.source, expected, expected * 4096));
  }
  EXPECT_GE(file.durable(), progress.pruned);
  EXPECT_GE(expected, progress.acknowledged + 1);
  EXPECT_LE(expected, progress.acknowledged + 2);  // one may have been appended and not told
}

TEST(JournalCrash, EveryAcknowledgedEntryIsThereAndWhole) {
  const FileDescriptor memory = make_memory("progress", 4096);
  Mapping mapping(memory.get(), 0, 4096);
  auto& progress = *reinterpret_cast<Progress*>(mapping.bytes().data());
  std::uint64_t appended = 0;
  for (std::uint64_t round = 0; round < 150; ++round) {
    // Held by the parent from the start, as a keeper would.
    HeldKeepsakes kept;
    { const JournalFile file(capacity, &kept); }
    progress.acknowledged = progress.pruned = 0;
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) append_for_ever(kept, progress, round);
    ::usleep(static_cast<useconds_t>(300 + 97 * (round % 50)));
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status));
    check(kept, progress);
    appended += progress.acknowledged;
  }
  EXPECT_GT(appended, 1000U);
}

}  // namespace
}  // namespace nbdring
