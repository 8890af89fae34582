#include "cli/channel.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "client/runtime/file_descriptor.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;

struct Ends {
  std::array<FileDescriptor, 2> sockets = Channel::make_sockets();
  Channel here{std::move(sockets[0])};
  Channel there{std::move(sockets[1])};
};

TEST(Channel, CarriesAWordAndItsTextWhole) {
  Ends ends;
  ASSERT_TRUE(ends.here.send("keep", "a text\nof two lines"));
  ASSERT_TRUE(ends.here.send("over"));
  const auto first = ends.there.take();
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->word, "keep");
  EXPECT_EQ(first->text, "a text\nof two lines");
  const auto second = ends.there.take();
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(second->word, "over");
  EXPECT_EQ(second->text, "");
  EXPECT_FALSE(ends.there.take().has_value());
  EXPECT_FALSE(ends.there.is_over());
}

TEST(Channel, CarriesDescriptors) {
  Ends ends;
  int pipe_ends[2];
  ASSERT_EQ(::pipe(pipe_ends), 0);
  FileDescriptor reading(pipe_ends[0]);
  FileDescriptor writing(pipe_ends[1]);
  ASSERT_TRUE(ends.here.send("hand-over", "", {writing.get(), reading.get()}));
  writing.reset();
  auto message = ends.there.take();
  ASSERT_TRUE(message.has_value());
  ASSERT_EQ(message->descriptors.size(), 2U);
  ASSERT_EQ(::write(message->descriptors[0].get(), "x", 1), 1);
  char byte = 0;
  EXPECT_EQ(::read(reading.get(), &byte, 1), 1);
  EXPECT_EQ(byte, 'x');
}

TEST(Channel, WhatWasSentOutlivesItsSender) {
  Ends ends;
  const pid_t child = ::fork();
  if (child == 0) {
    ends.there = Channel(FileDescriptor());
    ends.here.send("keep", "memory", {STDOUT_FILENO});
    ::kill(::getpid(), SIGKILL);
  }
  ends.here = Channel(FileDescriptor());
  ::waitpid(child, nullptr, 0);
  const auto message = ends.there.take();
  ASSERT_TRUE(message.has_value());
  EXPECT_EQ(message->text, "memory");
  EXPECT_EQ(message->descriptors.size(), 1U);
  EXPECT_FALSE(ends.there.take().has_value());
  EXPECT_TRUE(ends.there.is_over());
}

TEST(Channel, SaysThatNobodyListens) {
  Ends ends;
  ends.there = Channel(FileDescriptor());
  EXPECT_FALSE(ends.here.send("ping"));
}

TEST(Channel, WaitsUntilItsDeadline) {
  Ends ends;
  const auto begin = Deadline::Clock::now();
  EXPECT_FALSE(ends.here.wait(Deadline::in(milliseconds(30))).has_value());
  EXPECT_GE(Deadline::Clock::now() - begin, milliseconds(25));
}

TEST(Channel, WhoDoesNotReadHoldsNobodyForLong) {
  Ends ends;
  const std::string text(1000, 'x');
  int sent = 0;
  while (sent < 100'000 && ends.here.send("keep", text)) ++sent;
  EXPECT_LT(sent, 100'000);
}

}  // namespace
}  // namespace nbdring
