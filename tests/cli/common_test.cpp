#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "cli/commands.hpp"
#include "cli/identity.hpp"
#include "client/runtime/error.hpp"
#include "tests/cli/temporary_folder.hpp"

namespace nbdring {
namespace {

using ::testing::HasSubstr;

class BackendArgument : public ::testing::Test {
 protected:
  void SetUp() override { ::unsetenv("NBDRING_ROUTES"); }
  void TearDown() override { ::unsetenv("NBDRING_ROUTES"); }

  BackendSpec backend(const std::string& argument) {
    return backend_from(argument, config_of(common, log), common, log);
  }
  // The file that --config names.
  void write_config(const std::string& text) {
    common.config = folder / "nbdring.toml";
    std::ofstream(*common.config) << text;
    std::filesystem::permissions(*common.config, std::filesystem::perms::owner_read);
  }
  std::string refusal(const std::string& argument) {
    try {
      backend(argument);
    } catch (const Failure& failure) {
      EXPECT_EQ(failure.kind(), FailureKind::usage);
      return failure.what();
    }
    return "accepted";
  }

  TemporaryFolder folder;
  CommonOptions common{.config = "/dev/null"};
  Log log{LogLevel::error, LogFormat::text};
};

TEST_F(BackendArgument, AnAliasHasTheIdentityOfWhatItStandsFor) {
  write_config("[aliases]\na = \"b\"\nb = \"nbd://host/x\"\nm = \"memory:1M\"\n");
  for (const char* name : {"a", "b"}) {
    EXPECT_EQ(default_id(backend(name), 1), default_id(backend("nbd://host/x"), 1)) << name;
    EXPECT_EQ(canonical_text(backend(name)), "nbd://host/x") << name;
  }
  EXPECT_EQ(canonical_text(backend("m")), "memory:1048576");
}

TEST_F(BackendArgument, IsAskedOfTheRoutesFirstThenOfTheFile) {
  write_config("[aliases]\na = \"memory:1\"\nb = \"memory:2\"\n");
  ::setenv("NBDRING_ROUTES", "a memory:3;c b", 1);
  EXPECT_EQ(canonical_text(backend("a")), "memory:3");
  EXPECT_EQ(canonical_text(backend("b")), "memory:2");
  EXPECT_EQ(canonical_text(backend("c")), "memory:2");
  EXPECT_EQ(backend("d").form, BackendForm(FileSpec{"d"}));
}

TEST_F(BackendArgument, AWrongTargetIsBlamedOnItsAlias) {
  write_config("[aliases]\na = \"b\"\nb = \"memory:much\"\n");
  EXPECT_THAT(refusal("a"), HasSubstr("the alias b (" + *common.config + ":3): "));
  EXPECT_THAT(refusal("a"), HasSubstr("'much'"));
}

TEST_F(BackendArgument, AFileThatIsNamedMustExist) {
  common.config = folder / "none.toml";
  EXPECT_THAT(refusal("x"), HasSubstr("none.toml' does not exist"));
}

TEST_F(BackendArgument, UnknownKeysAreAnErrorWhereTheUserIsStrict) {
  write_config("\nbogus = 1\n");
  EXPECT_EQ(refusal("x"), "accepted");
  common.strict = true;
  EXPECT_THAT(refusal("x"), HasSubstr("nbdring.toml:2: 'bogus' is not known"));
}

}  // namespace
}  // namespace nbdring
