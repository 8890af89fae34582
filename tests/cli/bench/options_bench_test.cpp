// The command line of `nbdring bench`: what it means, and what is refused.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "cli/options.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

BenchCommand parse(const std::string& line) {
  std::istringstream stream("nbdring bench " + line);
  const std::vector<std::string> words{std::istream_iterator<std::string>(stream), {}};
  return std::get<BenchCommand>(parse_command_line(words).command);
}

TEST(BenchOptions, WithoutAnyReadsOnly) {
  const BenchCommand command = parse("x");
  const BenchSettings& settings = command.settings;
  EXPECT_THAT(settings.targets, ElementsAre("x"));
  EXPECT_THAT(settings.points, ElementsAre(BenchPoint{Pattern::random, 0, 100, 4096, 1, 1},
                                           BenchPoint{Pattern::random, 0, 100, 4096, 32, 1},
                                           BenchPoint{Pattern::random, 0, 100, 262'144, 1, 1},
                                           BenchPoint{Pattern::random, 0, 100, 262'144, 32, 1}));
  EXPECT_FALSE(settings.may_write || settings.verify || settings.writes() || command.compare);
  EXPECT_EQ(settings.run_time, milliseconds(5000));
  EXPECT_EQ(settings.warm_up, milliseconds(500));
  EXPECT_EQ(settings.rounds, 1U);
  EXPECT_EQ(settings.size, std::nullopt);
  EXPECT_EQ(command.form, BenchForm::table);
}

TEST(BenchOptions, ListsAreSwept) {
  const auto points =
      parse("x -p sequential,zipf:0.9 -b 512,1M -d 1,256 -c 1,16 --reads 70 --write")
          .settings.points;
  ASSERT_EQ(points.size(), 16U);
  EXPECT_EQ(points.front(), (BenchPoint{Pattern::sequential, 0, 70, 512, 1, 1}));
  EXPECT_EQ(points[1], (BenchPoint{Pattern::sequential, 0, 70, 512, 256, 1}));
  EXPECT_EQ(points.back(), (BenchPoint{Pattern::zipf, 0.9, 70, 1 << 20, 256, 16}));
  EXPECT_EQ(parse("x -b 4k,4096 -d 2,2").settings.points.size(), 1U);  // named twice
  EXPECT_DOUBLE_EQ(parse("x -p zipf").settings.points.front().theta, 1.1);
}

TEST(BenchOptions, WriteWritesUnlessReadsSaysOtherwise) {
  EXPECT_EQ(parse("x --write").settings.points.front().read_percent, 0U);
  EXPECT_EQ(parse("x --write --reads 30").settings.points.front().read_percent, 30U);
  const BenchSettings not_allowed = parse("x --reads 30").settings;
  EXPECT_TRUE(not_allowed.writes());
  EXPECT_FALSE(not_allowed.may_write);  // refused once it is known what would be lost
  EXPECT_TRUE(parse("x --write --verify").settings.verify);
}

TEST(BenchOptions, CompareTakesAllThatFollow) {
  for (const char* line :
       {"--compare a b c -t 1", "a --compare b c -t 1", "-t 1 --compare a b c"}) {
    const BenchCommand command = parse(line);
    EXPECT_THAT(command.settings.targets, ElementsAre("a", "b", "c")) << line;
    EXPECT_TRUE(command.compare);
    EXPECT_EQ(command.settings.rounds, 3U);
  }
  EXPECT_EQ(parse("--compare a b --rounds 5").settings.rounds, 5U);
}

TEST(BenchOptions, TheRestIsAsGiven) {
  const BenchCommand command = parse(
      "x -t 0.25 --offset 1M --size 2M --seed 9 --json --plot p.svg --layer readonly --tls off");
  EXPECT_EQ(command.settings.run_time, milliseconds(250));
  EXPECT_EQ(command.settings.warm_up, milliseconds(25));
  EXPECT_EQ(parse("x -t 100").settings.warm_up, milliseconds(1000));
  EXPECT_EQ(command.settings.offset, 1U << 20);
  EXPECT_EQ(command.settings.size, 2U << 20);
  EXPECT_EQ(command.settings.seed, 9U);
  EXPECT_EQ(command.form, BenchForm::json);
  EXPECT_EQ(parse("x --csv").form, BenchForm::csv);
  EXPECT_EQ(command.plot, "p.svg");
  EXPECT_EQ(command.layers.size(), 1U);
  EXPECT_EQ(command.tls.policy, TlsPolicy::off);
}

struct Refused {
  const char* line;
  const char* says;
};

void PrintTo(const Refused& refused, std::ostream* out) { *out << refused.line; }

class RefusedBench : public ::testing::TestWithParam<Refused> {};

TEST_P(RefusedBench, IsAUsageFailureOfOneLine) {
  try {
    parse(GetParam().line);
    FAIL() << GetParam().line << " was accepted";
  } catch (const Failure& failure) {
    EXPECT_EQ(failure.kind(), FailureKind::usage);
    EXPECT_THAT(failure.what(), HasSubstr(GetParam().says));
    EXPECT_EQ(std::string(failure.what()).find('\n'), std::string::npos);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Lines, RefusedBench,
    ::testing::Values(
        Refused{"", "no BACKEND given"}, Refused{"x y", "'y' is not understood"},
        Refused{"x -p rnd", "'rnd' is not sequential, random, zipf"},
        Refused{"x -p random,", "'' is not sequential"}, Refused{"x -p zipf:0", "above 0"},
        Refused{"x -p zipf:-1", "above 0"}, Refused{"x -p zipf:11", "up to 10"},
        Refused{"x -p zipf:nan", "'zipf:nan'"}, Refused{"x -p zipf:0.9x", "'zipf:0.9x'"},
        Refused{"x -b 0", "--block-size: '0' is not a multiple of 512"},
        Refused{"x -b 4000", "'4000'"}, Refused{"x -b 33M", "up to 32M"},
        Refused{"x -b 4k,,8k", "''"}, Refused{"x -b 4x", "4x"},
        Refused{"x -d 0", "'0' is not a whole number from 1 to 256"}, Refused{"x -d 257", "'257'"},
        Refused{"x -d 1,x", "'x'"}, Refused{"x -c 17", "'17' is not a whole number from 1 to 16"},
        Refused{"x --reads 101", "'101' is not a whole number from 0 to 100"},
        Refused{"x --reads 100 --write", "leaves nothing for --write"},
        Refused{"x --verify", "give --write as well"},
        Refused{"x -t 0", "'0' is not a number from 0.1"}, Refused{"x -t 1e3", "'1e3'"},
        Refused{"x -t 90000", "'90000'"}, Refused{"x -t inf", "'inf'"},
        Refused{"x --rounds 0", "'0'"}, Refused{"x --size 0", "'0' is nothing"},
        Refused{"x --offset -1", "-1"}, Refused{"x --seed -1", "'-1'"},
        Refused{"x --json --csv", "exclude each other"},
        Refused{"--compare a", "'a' alone; name two or more"},
        Refused{"--compare", "--compare takes"}, Refused{"x --layer nosuch", "not a layer"},
        Refused{"a --compare 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", "more than 16"},
        Refused{"x -d 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16 -c 1,2,3,4,5,6,7,8 "
                "-b 512,1k,2k,4k,8k,16k,32k,64k",
                "more than 1000 points"}));

}  // namespace
}  // namespace nbdring
