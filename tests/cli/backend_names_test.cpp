#include "cli/backend_names.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string refusal_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Failure& failure) {
    EXPECT_EQ(failure.kind(), FailureKind::usage);
    EXPECT_THAT(failure.what(), Not(HasSubstr("\n")));
    return failure.what();
  }
  return "accepted";
}

TEST(BackendNames, ANameCannotBeTakenForAPathAURIOrAnOption) {
  for (const char* name : {"a", "disk1", "disk.img", "UPPER_case", "a-b", "7", "\xc3\xbc", "a%b"}) {
    EXPECT_TRUE(is_backend_name(name)) << name;
  }
  for (const char* other : {"", ".", "..", ".hidden", "./a", "a/", "/a", "a:", ":", "nbd:a", "-a",
                            "a b", "a\tb", "a\n", "a;b", "\x7f"}) {
    EXPECT_FALSE(is_backend_name(other)) << other;
  }
  EXPECT_FALSE(is_backend_name(std::string_view("a\0b", 3)));
}

struct Routes {
  const char* text;
  std::map<std::string, std::string> names;
};

void PrintTo(const Routes& routes, std::ostream* out) { *out << '"' << routes.text << '"'; }

class AcceptedRoutes : public ::testing::TestWithParam<Routes> {};

TEST_P(AcceptedRoutes, AreNamesAndWhatTheyStandFor) {
  std::map<std::string, std::string> found;
  for (const auto& [name, alias] : parse_routes(GetParam().text)) {
    found[name] = alias.target;
    EXPECT_EQ(alias.origin, "NBDRING_ROUTES");
  }
  EXPECT_EQ(found, GetParam().names);
}

INSTANTIATE_TEST_SUITE_P(
    Forms, AcceptedRoutes,
    ::testing::Values(Routes{"", {}}, Routes{" ", {}}, Routes{";", {}}, Routes{" ; ;\t;\n", {}},
                      Routes{"a nbd://h/x", {{"a", "nbd://h/x"}}},
                      Routes{"a nbd://h/x;", {{"a", "nbd://h/x"}}},
                      Routes{";;a nbd://h/x; ;", {{"a", "nbd://h/x"}}},
                      Routes{"a b;c d", {{"a", "b"}, {"c", "d"}}},
                      Routes{"  a \t b ;\n c\td\t", {{"a", "b"}, {"c", "d"}}},
                      Routes{"a\nb", {{"a", "b"}}},
                      Routes{"a nbd://h/x%3By", {{"a", "nbd://h/x%3By"}}},
                      Routes{"a exec:nbdkit memory 1G", {{"a", "exec:nbdkit memory 1G"}}},
                      Routes{"a a;A a", {{"a", "a"}, {"A", "a"}}}));

struct Refused {
  const char* text;
  const char* says;
};

void PrintTo(const Refused& refused, std::ostream* out) { *out << '"' << refused.text << '"'; }

class RefusedRoutes : public ::testing::TestWithParam<Refused> {};

TEST_P(RefusedRoutes, NameTheVariableAndTheSection) {
  const std::string says = refusal_of([] { parse_routes(GetParam().text); });
  EXPECT_THAT(says, HasSubstr("NBDRING_ROUTES: '"));
  EXPECT_THAT(says, HasSubstr(GetParam().says));
}

INSTANTIATE_TEST_SUITE_P(
    Forms, RefusedRoutes,
    ::testing::Values(Refused{"a", "'a' is a name without a URI"},
                      Refused{"a ;b c", "'a' is a name without a URI"},
                      Refused{"a b;a", "'a' is a name without a URI"},
                      Refused{"nbd://h/x", "'nbd://h/x' does not begin with a name"},
                      Refused{"a/b c", "'a/b c' does not begin with a name"},
                      Refused{".a c", "'.a c' does not begin"}, Refused{"-a c", "'-a c'"},
                      Refused{"a:b c", "'a:b c' does not begin"},
                      Refused{"a b;a b", "'a b' gives its name a second time"},
                      Refused{"a b;c d; a e", "'a e' gives its name a second time"},
                      Refused{"a b\nc d", "'a b c d' has a line break"},
                      Refused{"a b\x01", "'a b ' has a line break or another control"},
                      Refused{"a\x01 b", "'a  b' does not begin with a name"},
                      Refused{"a nbd://h/?x=1;y=2", "'y=2' is a name without a URI"}));

Aliases chain(int length) {
  Aliases aliases;
  for (int i = 1; i <= length; ++i) {
    aliases["n" + std::to_string(i)] = {i == length ? "end" : "n" + std::to_string(i + 1), "T"};
  }
  return aliases;
}

TEST(BackendNames, WhatIsNoAliasIsItself) {
  for (const char* argument : {"disk.img", "./n1", "/n1", "nbd://n1/", "N1", ""}) {
    const ResolvedName resolved = resolve_backend_name(argument, chain(1));
    EXPECT_EQ(resolved.text, argument);
    EXPECT_EQ(resolved.by, "");
  }
}

TEST(BackendNames, AnAliasMayStandForAnAliasEightDeep) {
  EXPECT_EQ(resolve_backend_name("n1", chain(1)).text, "end");
  EXPECT_EQ(resolve_backend_name("n1", chain(8)).text, "end");
  EXPECT_EQ(resolve_backend_name("n1", chain(8)).by, "n8 (T)");
  EXPECT_EQ(resolve_backend_name("n2", chain(9)).text, "end");
  EXPECT_THAT(refusal_of([] { resolve_backend_name("n1", chain(9)); }),
              HasSubstr("'n1' is more than 8 aliases deep: n1 -> n2 -> n3 -> n4 -> n5 -> n6 -> n7 "
                        "-> n8 -> n9;"));
}

TEST(BackendNames, ACircleIsShown) {
  const Aliases self{{"a", {"a", "T"}}};
  EXPECT_THAT(refusal_of([&] { resolve_backend_name("a", self); }),
              HasSubstr("'a' (T) leads back to itself: a -> a;"));
  const Aliases circle{{"a", {"b", "T"}}, {"b", {"c", "U"}}, {"c", {"b", "V"}}};
  EXPECT_THAT(refusal_of([&] { resolve_backend_name("a", circle); }),
              HasSubstr("'b' (U) leads back to itself: a -> b -> c -> b;"));
  Aliases largest = chain(8);
  largest["n8"].target = "n1";
  EXPECT_THAT(refusal_of([&] { resolve_backend_name("n1", largest); }), HasSubstr("-> n8 -> n1;"));
}

}  // namespace
}  // namespace nbdring
